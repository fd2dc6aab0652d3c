//! Epilogues in one pass over the output's rows.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;
use rayon::prelude::*;

use super::{
    buffer::{self, Buffer},
    math::sigmoid,
};
use crate::{Activation, Epilogue, Gate};

/// Rows that one task finishes.
const ROWS: usize = 64;

/// An epilogue whose tensors are slices.
pub(crate) struct Tail {
    channel_add: Option<Buffer>,
    activation: Option<Activation>,
    gate: Gate,
    channel_mul: Option<Buffer>,
    scale: f32,
    residual: Option<Buffer>,
    output_scale: f32,
    channels: usize,
    rows_per_sample: usize,
}

impl Tail {
    /// Everything but the bias, with which a product starts (see [`start`]).
    pub(crate) fn new<B, const D: usize>(
        epilogue: Epilogue<B, D>,
        channels: usize,
        rows_per_sample: usize,
    ) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let out = epilogue.output_channels(channels);
        Self {
            channel_add: epilogue.channel_add.map(|add| Buffer::new(add.to_tensor(channels))),
            activation: epilogue.activation,
            gate: epilogue.gate,
            channel_mul: epilogue.channel_mul.map(|mul| Buffer::new(mul.to_tensor(out))),
            scale: epilogue.scale as f32,
            residual: epilogue.residual.map(Buffer::new),
            output_scale: epilogue.output_scale as f32,
            channels,
            rows_per_sample: rows_per_sample.max(1),
        }
    }

    fn out(&self) -> usize {
        match self.gate {
            Gate::None => self.channels,
            Gate::Pair => self.channels / 2,
        }
    }

    /// Finishes a product of `channels` columns: in place, or into half as many columns for a gated pair.
    pub(crate) fn finish(&self, mut product: Vec<f32>) -> Vec<f32> {
        if self.channels == 0 {
            return product;
        }
        match self.gate {
            Gate::None => {
                product.par_chunks_mut(ROWS * self.channels).enumerate().for_each(
                    |(task, rows)| {
                        for (row, values) in rows.chunks_mut(self.channels).enumerate() {
                            self.finish_row(values, task * ROWS + row);
                        }
                    },
                );
                product
            }
            Gate::Pair => self.finish_pairs(product),
        }
    }

    fn finish_pairs(&self, mut product: Vec<f32>) -> Vec<f32> {
        let half = self.out();
        let mut output = vec![0.0; product.len() / 2];
        let tasks = output.par_chunks_mut(ROWS * half);
        tasks.zip(product.par_chunks_mut(ROWS * self.channels)).enumerate().for_each(
            |(task, (rows, pairs))| {
                let rows = rows.chunks_mut(half).zip(pairs.chunks_mut(self.channels));
                for (row, (values, pair)) in rows.enumerate() {
                    let index = task * ROWS + row;
                    self.add_channels(pair, index);
                    let (value, gate) = pair.split_at_mut(half);
                    activate(gate, self.activation);
                    for ((out, value), gate) in values.iter_mut().zip(value).zip(gate) {
                        *out = *value * *gate;
                    }
                    self.add_residual(values, index);
                }
            },
        );
        output
    }

    fn finish_row(&self, values: &mut [f32], index: usize) {
        self.add_channels(values, index);
        activate(values, self.activation);
        self.add_residual(values, index);
    }

    fn add_channels(&self, values: &mut [f32], index: usize) {
        if let Some(add) = &self.channel_add {
            let sample = index / self.rows_per_sample;
            let add = &add.as_slice()[sample * self.channels..][..self.channels];
            values.iter_mut().zip(add).for_each(|(value, add)| *value += add);
        }
    }

    fn add_residual(&self, values: &mut [f32], index: usize) {
        if let Some(mul) = &self.channel_mul {
            let sample = index / self.rows_per_sample;
            let mul = &mul.as_slice()[sample * values.len()..][..values.len()];
            values.iter_mut().zip(mul).for_each(|(value, mul)| *value *= mul);
        }
        if self.scale != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.scale);
        }
        if let Some(residual) = &self.residual {
            let residual = &residual.as_slice()[index * values.len()..][..values.len()];
            values.iter_mut().zip(residual).for_each(|(value, residual)| *value += residual);
        }
        if self.output_scale != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.output_scale);
        }
    }
}

/// `rows` rows to accumulate a product into: the bias, or zeros.
pub(crate) fn start<B>(bias: Option<Tensor<B, 1>>, rows: usize, channels: usize) -> Vec<f32>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    match bias {
        Some(bias) => Buffer::new(bias).as_slice().repeat(rows),
        None => vec![0.0; rows * channels],
    }
}

/// Applies an activation to a row.
pub(crate) fn activate(values: &mut [f32], activation: Option<Activation>) {
    let Some(activation) = activation else { return };
    // One loop each, so that each is compiled for its function.
    match activation {
        Activation::Silu => each(values, |x| x * sigmoid(x)),
        Activation::Gelu => {
            each(values, |x| 0.5 * x * (1.0 + libm::erff(x * core::f32::consts::FRAC_1_SQRT_2)));
        }
        Activation::GeluTanh => {
            each(values, |x| 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()));
        }
        Activation::QuickGelu => each(values, |x| x * sigmoid(1.702 * x)),
        Activation::Relu => each(values, |x| x.max(0.0)),
        Activation::Tanh => each(values, f32::tanh),
    }
}

fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = function(*value));
}

/// An epilogue on its own; see [`DiffusionBackend::fused_epilogue`](crate::DiffusionBackend::fused_epilogue).
pub(crate) fn epilogue<B>(input: Tensor<B, 3>, mut epilogue: Epilogue<B, 3>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    if epilogue.is_identity() {
        return input;
    }
    let [batch, tokens, channels] = input.dims();
    let out = epilogue.output_channels(channels);
    let bias = epilogue.take_bias().map(Buffer::new);
    let mut values = Buffer::new(input).as_slice().to_vec();
    if let Some(bias) = &bias {
        for row in values.chunks_mut(channels.max(1)) {
            row.iter_mut().zip(bias.as_slice()).for_each(|(value, bias)| *value += bias);
        }
    }
    let values = Tail::new(epilogue, channels, tokens).finish(values);
    buffer::tensor(values, [batch, tokens, out])
}
