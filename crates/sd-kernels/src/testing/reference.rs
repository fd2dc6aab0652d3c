//! The operations as plain loops in f64: slow, obvious, and independent of any backend.

use super::Array;
use crate::{Activation, Conv2dOptions, Gate};

/// The tensors and numbers of an [`Epilogue`](crate::Epilogue).
#[derive(Debug, Clone)]
pub struct EpilogueValues {
    /// `[channels]`.
    pub bias: Option<Array>,
    /// `[batch, channels]`.
    pub channel_add: Option<Array>,
    /// Applied to every channel, or to the gates of a pair.
    pub activation: Option<Activation>,
    /// Whether channels are paired.
    pub gate: Gate,
    /// `[batch, output channels]`.
    pub channel_mul: Option<Array>,
    /// Before the residual.
    pub scale: f64,
    /// Of the output's shape.
    pub residual: Option<Array>,
    /// After everything.
    pub output_scale: f64,
}

impl Default for EpilogueValues {
    fn default() -> Self {
        Self {
            bias: None,
            channel_add: None,
            activation: None,
            gate: Gate::None,
            channel_mul: None,
            scale: 1.0,
            residual: None,
            output_scale: 1.0,
        }
    }
}

/// Applies an activation to one value.
pub fn activate(kind: Option<Activation>, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match kind {
        None => x,
        Some(Activation::Silu) => x * sigmoid(x),
        Some(Activation::Gelu) => 0.5 * x * libm::erfc(-x / core::f64::consts::SQRT_2),
        Some(Activation::GeluTanh) => {
            let slope = (2.0 / core::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (slope * (x + 0.044715 * x.powi(3))).tanh())
        }
        Some(Activation::QuickGelu) => x * sigmoid(1.702 * x),
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::Tanh) => x.tanh(),
    }
}

/// `[batch, .., channels]` to the same, or half of the channels with a gated pair.
pub fn epilogue(input: &Array, epilogue: &EpilogueValues) -> Array {
    let rank = input.shape().len();
    let (batch, channels) = (input.shape()[0], input.shape()[rank - 1]);
    let tokens: usize = input.shape()[1..rank - 1].iter().product();
    let out = if epilogue.gate == Gate::Pair { channels / 2 } else { channels };
    let mut values = Vec::with_capacity(batch * tokens * out);
    for sample in 0..batch {
        for token in 0..tokens {
            let row = sample * tokens + token;
            let summed = |channel: usize| {
                input.values()[row * channels + channel]
                    + epilogue.bias.as_ref().map_or(0.0, |bias| bias.at([channel]))
                    + epilogue.channel_add.as_ref().map_or(0.0, |add| add.at([sample, channel]))
            };
            for channel in 0..out {
                let activated = match epilogue.gate {
                    Gate::None => activate(epilogue.activation, summed(channel)),
                    Gate::Pair => {
                        summed(channel) * activate(epilogue.activation, summed(out + channel))
                    }
                };
                let residual =
                    epilogue.residual.as_ref().map_or(0.0, |r| r.values()[row * out + channel]);
                let factor =
                    epilogue.channel_mul.as_ref().map_or(1.0, |mul| mul.at([sample, channel]));
                values
                    .push((activated * factor * epilogue.scale + residual) * epilogue.output_scale);
            }
        }
    }
    let mut shape = input.shape().to_vec();
    shape[rank - 1] = out;
    Array::new(&shape, values)
}

/// `[batch, .., in]` times `[out, in]` transposed.
pub fn linear(input: &Array, weight: &Array) -> Array {
    let [out, width] = weight.dims();
    let values = input.values().chunks(width).flat_map(|row| {
        weight.values().chunks(width).map(move |column| dot(row.iter(), column.iter()))
    });
    let mut shape = input.shape().to_vec();
    let last = shape.len() - 1;
    shape[last] = out;
    Array::new(&shape, values.collect())
}

/// The image that a [`ConvInput`](crate::ConvInput) stands for.
pub fn materialise(first: &Array, second: Option<&Array>, upsample: Option<[usize; 2]>) -> Array {
    let [batch, height, width, channels] = first.dims();
    let more = second.map_or(0, |second| second.shape()[3]);
    let size = upsample.unwrap_or([height, width]);
    // PyTorch's `nearest` computes the source index in f32.
    let source = |index: usize, size: usize, target: usize| {
        ((index as f32 * (size as f32 / target as f32)).floor() as usize).min(size - 1)
    };
    Array::from_fn([batch, size[0], size[1], channels + more], |[sample, row, column, channel]| {
        let (row, column) = (source(row, height, size[0]), source(column, width, size[1]));
        match second {
            Some(second) if channel >= channels => {
                second.at([sample, row, column, channel - channels])
            }
            _ => first.at([sample, row, column, channel]),
        }
    })
}

/// `[batch, height, width, in]` convolved with `[out, kernel_h, kernel_w, in]`.
pub fn conv2d(input: &Array, weight: &Array, options: Conv2dOptions) -> Array {
    let [batch, height, width, depth] = input.dims();
    let [out, kernel_h, kernel_w, _] = weight.dims();
    let Conv2dOptions { stride, padding } = options;
    let rows = (height + padding.top + padding.bottom - kernel_h) / stride + 1;
    let columns = (width + padding.left + padding.right - kernel_w) / stride + 1;
    Array::from_fn([batch, rows, columns, out], |[sample, row, column, channel]| {
        let mut sum = 0.0;
        for y in 0..kernel_h {
            for x in 0..kernel_w {
                let (row, column) = (row * stride + y, column * stride + x);
                let inside = (padding.top..padding.top + height).contains(&row)
                    && (padding.left..padding.left + width).contains(&column);
                if inside {
                    let (row, column) = (row - padding.top, column - padding.left);
                    for z in 0..depth {
                        sum += input.at([sample, row, column, z]) * weight.at([channel, y, x, z]);
                    }
                }
            }
        }
        sum
    })
}

/// What the reference of attention needs to know beside the tensors.
#[derive(Debug, Clone, Copy)]
pub struct AttentionValues<'a> {
    /// Number of heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplies the scores.
    pub scale: f64,
    /// Keys after the query's own position are hidden.
    pub causal: bool,
    /// Added to the scores, `[batch or 1, heads or 1, queries or 1, keys]`.
    pub mask: Option<&'a Array>,
}

/// Query, key and value are `[batch, tokens, width]` with the column at which their heads begin.
pub fn attention(
    (query, query_offset): (&Array, usize),
    (key, key_offset): (&Array, usize),
    (value, value_offset): (&Array, usize),
    values: AttentionValues<'_>,
) -> Array {
    let AttentionValues { heads, head_dim, scale, causal, mask } = values;
    let [batch, queries, _] = query.dims();
    let [_, keys, _] = key.dims();
    let row = |array: &Array, sample, token, start| -> Vec<f64> {
        (0..head_dim).map(|column| array.at([sample, token, start + column])).collect()
    };
    let mut output = vec![0.0; batch * queries * heads * head_dim];
    for sample in 0..batch {
        for head in 0..heads {
            let rows = |array: &Array, offset| -> Vec<Vec<f64>> {
                let start = offset + head * head_dim;
                (0..keys).map(|token| row(array, sample, token, start)).collect()
            };
            let (key, value) = (rows(key, key_offset), rows(value, value_offset));
            for token in 0..queries {
                let query = row(query, sample, token, query_offset + head * head_dim);
                let visible = if causal { keys.min(token + 1) } else { keys };
                let scores = (0..visible).map(|index| {
                    let bias = mask.map_or(0.0, |mask| {
                        let [b, h, q, _] = mask.dims();
                        mask.at([sample.min(b - 1), head.min(h - 1), token.min(q - 1), index])
                    });
                    dot(query.iter(), key[index].iter()) * scale + bias
                });
                let weights = softmax(scores.collect());
                let start = ((sample * queries + token) * heads + head) * head_dim;
                for (weight, value) in weights.iter().zip(&value) {
                    let target = &mut output[start..start + head_dim];
                    target.iter_mut().zip(value).for_each(|(out, value)| *out += weight * value);
                }
            }
        }
    }
    Array::new(&[batch, queries, heads * head_dim], output)
}

fn softmax(mut scores: Vec<f64>) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
}

/// What follows a normalisation.
#[derive(Debug, Clone, Default)]
pub struct Scaling {
    /// Weight and bias, `[channels]` each.
    pub affine: Option<[Array; 2]>,
    /// Scale and shift, `[batch, channels]` each.
    pub modulation: Option<[Array; 2]>,
    /// Applied last.
    pub activation: Option<Activation>,
}

impl Scaling {
    fn apply(&self, x: f64, sample: usize, channel: usize) -> f64 {
        let x = match &self.affine {
            Some([weight, bias]) => x * weight.at([channel]) + bias.at([channel]),
            None => x,
        };
        let x = match &self.modulation {
            Some([scale, shift]) => {
                x * (1.0 + scale.at([sample, channel])) + shift.at([sample, channel])
            }
            None => x,
        };
        activate(self.activation, x)
    }
}

/// Group norm of `[batch, .., channels]`; layer norm is that of `[rows, 1, channels]` with one group.
pub fn group_norm(input: &Array, groups: usize, eps: f64, scaling: &Scaling) -> Array {
    let rank = input.shape().len();
    let (batch, channels) = (input.shape()[0], input.shape()[rank - 1]);
    let pixels: usize = input.shape()[1..rank - 1].iter().product();
    let width = channels / groups;
    let mut output = vec![0.0; input.values().len()];
    for sample in 0..batch {
        for group in 0..groups {
            let positions: Vec<(usize, usize)> = (0..pixels)
                .flat_map(|pixel| (group * width..(group + 1) * width).map(move |c| (pixel, c)))
                .map(|(pixel, channel)| ((sample * pixels + pixel) * channels + channel, channel))
                .collect();
            let count = positions.len() as f64;
            let value = |index: usize| input.values()[index];
            let mean = positions.iter().map(|(index, _)| value(*index)).sum::<f64>() / count;
            let squares = positions.iter().map(|(index, _)| (value(*index) - mean).powi(2));
            let deviation = (squares.sum::<f64>() / count + eps).sqrt();
            for (index, channel) in positions {
                output[index] = scaling.apply((value(index) - mean) / deviation, sample, channel);
            }
        }
    }
    Array::new(input.shape(), output)
}

/// Layer norm over the last axis of `[batch, tokens, channels]`.
pub fn layer_norm(input: &Array, eps: f64, scaling: &Scaling) -> Array {
    let [batch, tokens, channels] = input.dims();
    let plain = input.reshape(&[batch * tokens, 1, channels]);
    let normalised = group_norm(&plain, 1, eps, &Scaling::default());
    let values = normalised.values().iter().enumerate();
    let scaled = values
        .map(|(index, value)| scaling.apply(*value, index / (tokens * channels), index % channels));
    Array::new(input.shape(), scaled.collect())
}

/// RMS norm over the last axis.
pub fn rms_norm(input: &Array, weight: &Array, eps: f64) -> Array {
    let [channels] = weight.dims();
    let rows = input.values().chunks(channels).flat_map(|row| {
        let square = dot(row.iter(), row.iter()) / channels as f64;
        let root = (square + eps).sqrt();
        row.iter().zip(weight.values()).map(move |(value, weight)| value / root * weight)
    });
    Array::new(input.shape(), rows.collect())
}

/// `Σ coefficient · array`.
pub fn linear_combination(terms: &[(f64, Array)]) -> Array {
    let count = terms[0].1.values().len();
    let sum = |index: usize| terms.iter().map(|(c, array)| c * array.values()[index]).sum();
    Array::new(terms[0].1.shape(), (0..count).map(sum).collect())
}

fn dot<'a>(a: impl Iterator<Item = &'a f64>, b: impl Iterator<Item = &'a f64>) -> f64 {
    a.zip(b).map(|(a, b)| a * b).sum()
}
