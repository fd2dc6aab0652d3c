//! Normalisations: one pass over memory for the statistics, one for the rest.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    math::activate,
    memory::{Output, fresh},
    simd::dispatch,
};
use crate::Activation;

/// Rows whose sums are taken together. Blocks are added up in their order, whichever thread took them.
const BLOCK: usize = 64;

/// What follows the normalisation itself, as one factor and one summand per sample and channel.
#[derive(Debug)]
pub(crate) struct Scaling {
    factors: Vec<f32>,
    summands: Vec<f32>,
    channels: usize,
    per_sample: bool,
}

impl Scaling {
    /// `(x · weight + bias) · (1 + scale) + shift`.
    ///
    /// # Shapes
    /// - affine: weight and bias, `[channels]`
    /// - modulation: scale and shift, `[batch, channels]`
    pub(crate) fn new(
        channels: usize,
        affine: Option<[&[f32]; 2]>,
        modulation: Option<[&[f32]; 2]>,
    ) -> Self {
        let (weight, bias) = match affine {
            Some([weight, bias]) => (weight.to_vec(), bias.to_vec()),
            None => (vec![1.0; channels], vec![0.0; channels]),
        };
        let Some([scale, shift]) = modulation else {
            return Self { factors: weight, summands: bias, channels, per_sample: false };
        };
        let (factors, summands) = scale
            .iter()
            .zip(shift)
            .enumerate()
            .map(|(index, (scale, shift))| {
                let channel = index % channels;
                (weight[channel] * (1.0 + scale), bias[channel] * (1.0 + scale) + shift)
            })
            .unzip();
        Self { factors, summands, channels, per_sample: true }
    }

    fn row(&self, sample: usize) -> (&[f32], &[f32]) {
        let start = if self.per_sample { sample * self.channels } else { 0 };
        (&self.factors[start..][..self.channels], &self.summands[start..][..self.channels])
    }
}

/// A group norm.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    pub(crate) batch: usize,
    pub(crate) pixels: usize,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) scaling: Scaling,
    pub(crate) activation: Option<Activation>,
}

impl GroupNorm {
    /// Normalises images that follow each other along the channels, `[batch, pixels, channels]` each.
    pub(crate) fn run(&self, parts: &[(&[f32], usize)]) -> Vec<f32> {
        let channels = self.scaling.channels;
        let fill = |target: Output<'_>| {
            for sample in 0..self.batch {
                let parts: Vec<(&[f32], usize)> = parts
                    .iter()
                    .map(|(values, channels)| {
                        let length = self.pixels * channels;
                        (&values[sample * length..][..length], *channels)
                    })
                    .collect();
                let affine = self.affine(sample, &parts);
                let affine = [0, 1, 2]
                    .map(|index| affine.iter().map(|affine| affine[index]).collect::<Vec<f32>>());
                (0..self.pixels.div_ceil(BLOCK)).into_par_iter().for_each(|block| {
                    let rows = block * BLOCK..self.pixels.min((block + 1) * BLOCK);
                    let first = (sample * self.pixels + rows.start) * channels;
                    dispatch(Normalise {
                        parts: &parts,
                        rows,
                        affine: &affine,
                        activation: self.activation,
                        target,
                        first,
                    });
                });
            }
        };
        // SAFETY: the blocks have all pixels of all samples between them.
        unsafe { fresh(self.batch * self.pixels * channels, fill) }
    }

    /// Mean, factor and summand of every channel of a sample.
    fn affine(&self, sample: usize, parts: &[(&[f32], usize)]) -> Vec<[f32; 3]> {
        let width = self.scaling.channels / self.groups;
        let sums: Vec<[f64; 2]> =
            parts.iter().flat_map(|(values, channels)| channel_sums(values, *channels)).collect();
        let statistics: Vec<Statistics> = sums
            .chunks(width)
            .map(|sums| {
                let count = (width * self.pixels) as f64;
                let [sum, squares] =
                    sums.iter().fold([0.0; 2], |all, one| [all[0] + one[0], all[1] + one[1]]);
                let mean = sum / count;
                Statistics::new(mean, (squares / count - mean * mean).max(0.0), self.eps)
            })
            .collect();
        let (factors, summands) = self.scaling.row(sample);
        let channels = factors.iter().zip(summands).enumerate();
        channels
            .map(|(channel, (factor, summand))| {
                let Statistics { mean, rest, inverse } = statistics[channel / width];
                let factor = inverse * factor;
                [mean, factor, summand - rest * factor]
            })
            .collect()
    }
}

/// Some pixels of a group norm.
struct Normalise<'a> {
    parts: &'a [(&'a [f32], usize)],
    rows: core::ops::Range<usize>,
    /// Mean, factor and summand of each channel.
    affine: &'a [Vec<f32>; 3],
    activation: Option<Activation>,
    target: Output<'a>,
    first: usize,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [means, factors, summands] = self.affine;
        let channels = means.len();
        let mut scratch = vec![0.0; channels];
        for (index, row) in self.rows.enumerate() {
            let mut rest = &mut scratch[..];
            for (values, channels) in self.parts {
                let (head, tail) = rest.split_at_mut(*channels);
                head.copy_from_slice(&values[row * channels..][..*channels]);
                rest = tail;
            }
            let affine = means.iter().zip(factors).zip(summands);
            for (value, ((mean, factor), summand)) in scratch.iter_mut().zip(affine) {
                *value = (*value - mean) * factor + summand;
            }
            activate(&mut scratch, self.activation);
            // SAFETY: this block alone has these pixels.
            unsafe { self.target.write(self.first + index * channels, &scratch) };
        }
    }
}

/// Sum and sum of squares of each channel of `[pixels, channels]`, in f64.
fn channel_sums(values: &[f32], channels: usize) -> Vec<[f64; 2]> {
    let blocks: Vec<[Vec<f64>; 2]> = values
        .par_chunks((BLOCK * channels).max(1))
        .map(|rows| dispatch(Sums { rows, channels }))
        .collect();
    (0..channels)
        .map(|channel| {
            blocks.iter().fold([0.0; 2], |[sum, squares], block| {
                [sum + block[0][channel], squares + block[1][channel]]
            })
        })
        .collect()
}

struct Sums<'a> {
    rows: &'a [f32],
    channels: usize,
}

impl WithSimd for Sums<'_> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let mut sums = vec![0.0f64; self.channels];
        let mut squares = vec![0.0f64; self.channels];
        for row in self.rows.chunks(self.channels) {
            for ((sum, squares), value) in sums.iter_mut().zip(&mut squares).zip(row) {
                let value = f64::from(*value);
                *sum += value;
                *squares += value * value;
            }
        }
        [sums, squares]
    }
}

/// Mean and inverse deviation, from sums in f64.
///
/// The mean keeps what its rounding to f32 leaves as `rest`: values far from zero lie close to it, and what is left after
/// the subtraction is as small as that rounding.
#[derive(Debug, Clone, Copy)]
struct Statistics {
    mean: f32,
    rest: f32,
    inverse: f32,
}

impl Statistics {
    #[inline(always)]
    fn new(mean: f64, variance: f64, eps: f64) -> Self {
        let rounded = mean as f32;
        Self {
            mean: rounded,
            rest: (mean - f64::from(rounded)) as f32,
            inverse: (1.0 / (variance + eps).sqrt()) as f32,
        }
    }
}

/// Layer norm of rows, `[batch, tokens, channels]`.
pub(crate) fn layer_norm(input: &[f32], tokens: usize, eps: f64, scaling: &Scaling) -> Vec<f32> {
    let channels = scaling.channels.max(1);
    let fill = |target: Output<'_>| {
        input.par_chunks(BLOCK * channels).enumerate().for_each(|(block, input)| {
            dispatch(LayerRows { input, first: block * BLOCK, tokens, eps, scaling, target });
        });
    };
    // SAFETY: the blocks have all rows between them.
    unsafe { fresh(input.len(), fill) }
}

/// Some rows of a layer norm.
struct LayerRows<'a> {
    input: &'a [f32],
    first: usize,
    tokens: usize,
    eps: f64,
    scaling: &'a Scaling,
    target: Output<'a>,
}

impl WithSimd for LayerRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let channels = self.scaling.channels.max(1);
        let mut output = vec![0.0; channels];
        for (index, input) in self.input.chunks(channels).enumerate() {
            let row = self.first + index;
            let (factors, summands) = self.scaling.row(row / self.tokens);
            let count = input.len() as f64;
            let mean = lane_sum(input, |value| value) / count;
            let variance = lane_sum(input, |value| (value - mean) * (value - mean)) / count;
            let Statistics { mean, rest, inverse } = Statistics::new(mean, variance, self.eps);
            let affine = factors.iter().zip(summands);
            for ((out, value), (factor, summand)) in output.iter_mut().zip(input).zip(affine) {
                *out = (value - mean - rest) * inverse * factor + summand;
            }
            // SAFETY: this block alone has these rows.
            unsafe { self.target.write(row * channels, &output) };
        }
    }
}

/// `Σ function(value)` in f64, in eight lanes.
#[inline(always)]
fn lane_sum(values: &[f32], function: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0f64; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|value| function(f64::from(*value))).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += function(f64::from(*value));
        }
    }
    lanes.iter().sum::<f64>() + rest
}
