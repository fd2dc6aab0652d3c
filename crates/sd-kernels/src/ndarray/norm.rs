//! Normalisations.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;
use rayon::prelude::*;

use super::{
    buffer::{self, Buffer},
    epilogue::activate,
};
use crate::{
    Activation, Affine, ConvInput, GroupNormOptions, LayerNormOptions, Modulation, default,
};

/// What follows the normalisation itself, as one factor and one summand per sample and channel.
struct Scaling {
    factors: Vec<f32>,
    summands: Vec<f32>,
    channels: usize,
    per_sample: bool,
    activation: Option<Activation>,
}

impl Scaling {
    fn new<B>(
        affine: Option<Affine<B>>,
        modulation: Option<Modulation<B>>,
        channels: usize,
        activation: Option<Activation>,
    ) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let (weight, bias) = match affine {
            Some(affine) => (
                Buffer::new(affine.weight).as_slice().to_vec(),
                Buffer::new(affine.bias).as_slice().to_vec(),
            ),
            None => (vec![1.0; channels], vec![0.0; channels]),
        };
        let Some(modulation) = modulation else {
            return Self {
                factors: weight,
                summands: bias,
                channels,
                per_sample: false,
                activation,
            };
        };
        let scale = Buffer::new(modulation.scale.to_tensor(channels));
        let shift = Buffer::new(modulation.shift.to_tensor(channels));
        let scale = scale.as_slice().iter().enumerate();
        let (factors, summands) = scale
            .zip(shift.as_slice())
            .map(|((index, scale), shift)| {
                let channel = index % channels;
                (weight[channel] * (1.0 + scale), bias[channel] * (1.0 + scale) + shift)
            })
            .unzip();
        Self { factors, summands, channels, per_sample: true, activation }
    }

    fn row(&self, sample: usize) -> (&[f32], &[f32]) {
        let start = if self.per_sample { sample * self.channels } else { 0 };
        (&self.factors[start..][..self.channels], &self.summands[start..][..self.channels])
    }
}

/// See [`DiffusionBackend::fused_group_norm`](crate::DiffusionBackend::fused_group_norm).
pub(crate) fn group_norm<B>(input: ConvInput<B>, options: GroupNormOptions<B>) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let shape @ [batch, height, width, channels] = input.dims();
    let mut image = Buffer::new(default::materialise(input));
    let pixels = height * width;
    let groups = options.groups;
    let scaling = Scaling::new(options.affine, options.modulation, channels, options.activation);

    let samples = image.as_mut_slice();
    if samples.is_empty() {
        return image.into_tensor();
    }
    for (sample, image) in samples.chunks_mut(pixels * channels).enumerate().take(batch) {
        let statistics = group_statistics(image, channels, groups, options.eps);
        let (factors, summands) = scaling.row(sample);
        let affine: Vec<(f32, f32, f32)> = (0..channels)
            .map(|channel| {
                let Statistics { mean, rest, inverse } = statistics[channel / (channels / groups)];
                let factor = inverse * factors[channel];
                (mean, factor, summands[channel] - rest * factor)
            })
            .collect();
        image.par_chunks_mut(channels).with_min_len(32).for_each(|row| {
            for (value, (mean, factor, summand)) in row.iter_mut().zip(&affine) {
                *value = (*value - mean) * factor + summand;
            }
            activate(row, scaling.activation);
        });
    }
    debug_assert_eq!(shape[0], batch);
    image.into_tensor()
}

/// Mean and inverse deviation, from sums in f64.
///
/// The mean keeps what its rounding to f32 leaves as `rest`: values far from zero lie close to it, and what is left after
/// the subtraction is as small as that rounding.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    rest: f32,
    inverse: f32,
}

impl Statistics {
    fn new(mean: f64, variance: f64, eps: f64) -> Self {
        let rounded = mean as f32;
        Self {
            mean: rounded,
            rest: (mean - f64::from(rounded)) as f32,
            inverse: (1.0 / (variance + eps).sqrt()) as f32,
        }
    }
}

/// The statistics of each group of one sample.
fn group_statistics(image: &[f32], channels: usize, groups: usize, eps: f64) -> Vec<Statistics> {
    let width = channels / groups;
    let empty = || vec![(0.0f64, 0.0f64); groups];
    let add = |mut sums: Vec<(f64, f64)>, row: &[f32]| {
        for (sum, values) in sums.iter_mut().zip(row.chunks(width)) {
            for value in values {
                let value = f64::from(*value);
                sum.0 += value;
                sum.1 += value * value;
            }
        }
        sums
    };
    // Fixed blocks added in order: the result does not depend on the number of threads.
    let blocks: Vec<Vec<(f64, f64)>> = image
        .par_chunks(channels * 256)
        .map(|block| block.chunks(channels).fold(empty(), add))
        .collect();
    let count = (image.len() / groups) as f64;
    (0..groups)
        .map(|group| {
            let (sum, squares) = blocks.iter().fold((0.0, 0.0), |(sum, squares), block| {
                (sum + block[group].0, squares + block[group].1)
            });
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            Statistics::new(mean, variance, eps)
        })
        .collect()
}

/// See [`DiffusionBackend::fused_layer_norm`](crate::DiffusionBackend::fused_layer_norm).
pub(crate) fn layer_norm<B>(input: Tensor<B, 3>, options: LayerNormOptions<B>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let shape @ [_, tokens, channels] = input.dims();
    let scaling = Scaling::new(options.affine, options.modulation, channels, None);
    let input = Buffer::new(input);
    let mut output = vec![0.0; input.as_slice().len()];
    let rows =
        output.par_chunks_mut(channels.max(1)).zip(input.as_slice().par_chunks(channels.max(1)));
    rows.enumerate().with_min_len(16).for_each(|(index, (output, row))| {
        let (factors, summands) = scaling.row(index / tokens);
        let count = channels as f64;
        let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let variance =
            row.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        let Statistics { mean, rest, inverse } = Statistics::new(mean, variance, options.eps);
        let affine = factors.iter().zip(summands);
        for ((out, value), (factor, summand)) in output.iter_mut().zip(row).zip(affine) {
            *out = (value - mean - rest) * inverse * factor + summand;
        }
    });
    buffer::tensor(output, shape)
}
