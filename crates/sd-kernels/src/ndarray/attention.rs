//! Attention by tiles of queries: the scores of one head and a few queries are all that ever exists.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;
use rayon::prelude::*;

use super::{
    buffer::{self, Buffer},
    gemm::{Matrix, MatrixMut, Start, Threads, product},
    math::exp,
};
use crate::{AttentionMask, AttentionOptions, Heads};

/// Queries of a tile.
const TILE: usize = 64;

/// See [`DiffusionBackend::fused_attention`](crate::DiffusionBackend::fused_attention).
pub(crate) fn attention<B>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, queries, _] = query.projection.dims();
    let keys = key.projection.dims()[1];
    let width = options.heads * options.head_dim;
    let operands = Operands {
        heads: options.heads,
        head_dim: options.head_dim,
        scale: options.scale_or_default() as f32,
        query: View::new(query, queries),
        key: View::new(key, keys),
        value: View::new(value, keys),
        mask: Mask::new(options.mask),
    };

    let mut output = vec![0.0; batch * queries * width];
    let tiles = queries.div_ceil(TILE);
    let sample = (queries * width).max(1);
    // Tiles must not cross from one sample into the next.
    let tasks: Vec<(usize, &mut [f32])> = output
        .chunks_mut(sample)
        .flat_map(|sample| sample.chunks_mut((TILE * width).max(1)))
        .enumerate()
        .collect();
    tasks.into_par_iter().for_each(|(task, rows)| {
        operands.tile(rows, task / tiles, (task % tiles) * TILE);
    });
    buffer::tensor(output, [batch, queries, width])
}

/// A [`Heads`] as a slice.
struct View {
    buffer: Buffer,
    width: usize,
    offset: usize,
    tokens: usize,
}

impl View {
    fn new<B>(heads: Heads<B>, tokens: usize) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let width = heads.projection.dims()[2];
        Self { buffer: Buffer::new(heads.projection), width, offset: heads.offset, tokens }
    }

    /// `rows` tokens of one head, from `first` on.
    fn matrix(
        &self,
        sample: usize,
        column: usize,
        first: usize,
        rows: usize,
        d: usize,
    ) -> Matrix<'_> {
        let start = (sample * self.tokens + first) * self.width + self.offset + column;
        Matrix::new(&self.buffer.as_slice()[start..], rows, d, self.width)
    }
}

/// An [`AttentionMask`] as a slice.
enum Mask {
    None,
    Causal,
    Additive { values: Buffer, dims: [usize; 4] },
}

impl Mask {
    fn new<B>(mask: AttentionMask<B>) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        match mask {
            AttentionMask::None => Self::None,
            AttentionMask::Causal => Self::Causal,
            AttentionMask::Additive(bias) => {
                let dims = bias.dims();
                Self::Additive { values: Buffer::new(bias), dims }
            }
        }
    }

    /// Masks the scores of one query.
    fn apply(&self, scores: &mut [f32], sample: usize, head: usize, query: usize) {
        match self {
            Self::None => {}
            Self::Causal => scores.iter_mut().skip(query + 1).for_each(|s| *s = f32::NEG_INFINITY),
            Self::Additive { values, dims } => {
                let index = |axis: usize, index: usize| if dims[axis] == 1 { 0 } else { index };
                let row = (index(0, sample) * dims[1] + index(1, head)) * dims[2] + index(2, query);
                let bias = &values.as_slice()[row * scores.len()..][..scores.len()];
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
        }
    }
}

struct Operands {
    query: View,
    key: View,
    value: View,
    mask: Mask,
    heads: usize,
    head_dim: usize,
    scale: f32,
}

impl Operands {
    /// All heads of the queries from `first` on.
    fn tile(&self, output: &mut [f32], sample: usize, first: usize) {
        let (d, width, keys) = (self.head_dim, self.heads * self.head_dim, self.key.tokens);
        let rows = output.len() / width;
        let mut scores = vec![0.0; rows * keys];
        for head in 0..self.heads {
            let query = self.query.matrix(sample, head * d, first, rows, d);
            let key = self.key.matrix(sample, head * d, 0, keys, d);
            let value = self.value.matrix(sample, head * d, 0, keys, d);

            let target = MatrixMut { values: &mut scores, row_stride: keys };
            let operands = [query, key.transposed()];
            product(target, Start::Zero, self.scale, operands, Threads::One);
            for (row, scores) in scores.chunks_mut(keys).enumerate() {
                self.mask.apply(scores, sample, head, first + row);
                softmax(scores);
            }
            let target = MatrixMut { values: &mut output[head * d..], row_stride: width };
            let weights = Matrix::new(&scores, rows, keys, keys);
            product(target, Start::Zero, 1.0, [weights, value], Threads::One);
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest));
    // Summed in lanes, which is as accurate as it is fast.
    let mut lanes = [0.0f32; 16];
    let mut chunks = scores.chunks_exact(16);
    for chunk in &mut chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, score)| *lane += score);
    }
    let sum: f32 = lanes.iter().chain(chunks.remainder()).sum();
    let inverse = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= inverse);
}
