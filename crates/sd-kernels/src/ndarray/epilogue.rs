//! Epilogues as slices.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::buffer::{self, Buffer};
use crate::{Activation, Epilogue, Gate, cpu::Tail};

/// Holds the tensors of an epilogue while a kernel reads them.
pub(super) struct Held {
    bias: Option<Buffer>,
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

impl Held {
    /// The epilogue of a product of `channels` columns.
    pub(super) fn new<B, const D: usize>(
        epilogue: Epilogue<B, D>,
        channels: usize,
        rows_per_sample: usize,
    ) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let out = epilogue.output_channels(channels);
        Self {
            bias: epilogue.bias.map(Buffer::new),
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

    pub(super) fn tail(&self) -> Tail<'_> {
        fn slice(buffer: &Option<Buffer>) -> Option<&[f32]> {
            buffer.as_ref().map(Buffer::as_slice)
        }
        Tail {
            bias: slice(&self.bias),
            channel_add: slice(&self.channel_add),
            activation: self.activation,
            gate: self.gate,
            channel_mul: slice(&self.channel_mul),
            scale: self.scale,
            residual: slice(&self.residual),
            output_scale: self.output_scale,
            channels: self.channels,
            rows_per_sample: self.rows_per_sample,
        }
    }
}

/// See [`DiffusionBackend::fused_epilogue`](crate::DiffusionBackend::fused_epilogue).
pub(super) fn epilogue<B>(input: Tensor<B, 3>, epilogue: Epilogue<B, 3>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    if epilogue.is_identity() {
        return input;
    }
    let [batch, tokens, channels] = input.dims();
    let out = epilogue.output_channels(channels);
    let held = Held::new(epilogue, channels, tokens);
    let values = held.tail().apply(Buffer::new(input).as_slice());
    buffer::tensor(values, [batch, tokens, out])
}
