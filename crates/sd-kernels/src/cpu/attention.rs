//! Attention in tiles of queries and keys with online softmax (<https://arxiv.org/abs/1805.02867>): no score matrix exists.

use core::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    math::exp,
    memory::{Output, fresh, with_scratch},
    micro::{self, Begin, ROWS, Run},
    panels::Panels,
    product::Matrix,
    simd::dispatch,
};

/// Queries of a tile.
const QUERIES: usize = 8 * ROWS;
/// Keys of a tile, a multiple of every panel's width.
const KEYS: usize = 512;
/// Between the scores of two queries: rows a power of two apart would share places in the first cache.
const STRIDE: usize = KEYS + 16;
/// Sums of a softmax are added up in so many lanes.
const LANES: usize = 16;

/// Some heads' view of a projection: `[batch, tokens, width]`, from the column `offset` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) offset: usize,
}

/// What is added to the scores.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mask<'a> {
    None,
    /// Keys after the query do not count.
    Causal,
    /// `[batch, heads, queries, keys]`, where each of the first three may be 1 for all.
    Additive(&'a [f32], [usize; 4]),
}

/// `softmax(scale · q · kᵀ + mask) · v` for each head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) query: View<'a>,
    pub(crate) key: View<'a>,
    pub(crate) value: View<'a>,
    pub(crate) mask: Mask<'a>,
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) scale: f32,
}

impl View<'_> {
    /// The tokens of one head.
    fn head(&self, sample: usize, head: usize, head_dim: usize) -> Matrix<'_> {
        let first = sample * self.tokens * self.width + self.offset + head * head_dim;
        Matrix {
            values: &self.values[first..],
            rows: self.tokens,
            depth: head_dim,
            stride: self.width,
        }
    }
}

impl Attention<'_> {
    /// `[batch, queries, heads · head_dim]`.
    pub(crate) fn run(&self) -> Vec<f32> {
        let (queries, width) = (self.query.tokens, self.heads * self.head_dim);
        let tiles = queries.div_ceil(QUERIES);
        let fill = |target: Output<'_>| {
            // One sample's packed keys and values at a time.
            for sample in 0..self.batch {
                let heads = self.heads(sample);
                (0..self.heads * tiles).into_par_iter().for_each(|task| {
                    let first = (task % tiles) * QUERIES;
                    let queries = first..queries.min(first + QUERIES);
                    let head = &heads[task / tiles];
                    let scratch = QUERIES * (STRIDE + head.padded() + 2);
                    with_scratch(scratch, |scratch| {
                        dispatch(Tile { head, queries, target, scratch });
                    });
                });
            }
        };
        // SAFETY: the tasks have all queries of all heads and samples between them.
        unsafe { fresh(self.batch * queries * width, fill) }
    }

    fn heads(&self, sample: usize) -> Vec<Head<'_>> {
        let head = |head| Head {
            attention: self,
            sample,
            head,
            keys: Panels::of_transposed(self.key.head(sample, head, self.head_dim)),
            values: Panels::of_matrix(self.value.head(sample, head, self.head_dim)),
        };
        (0..self.heads).into_par_iter().map(head).collect()
    }
}

/// A head of a sample, packed.
struct Head<'a> {
    attention: &'a Attention<'a>,
    sample: usize,
    head: usize,
    /// `[head_dim, keys]`.
    keys: Panels,
    /// `[keys, head_dim]`.
    values: Panels,
}

impl Head<'_> {
    /// Columns of all panels of the values.
    fn padded(&self) -> usize {
        (0..self.values.count()).map(|panel| self.values.width(panel)).sum()
    }
}

/// Some queries of a head.
struct Tile<'a> {
    head: &'a Head<'a>,
    queries: Range<usize>,
    target: Output<'a>,
    scratch: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, queries, target, scratch } = self;
        let attention = head.attention;
        let (scores, rest) = scratch.split_at_mut(QUERIES * STRIDE);
        let (sums, rest) = rest.split_at_mut(QUERIES * head.padded());
        let (largest, totals) = rest.split_at_mut(QUERIES);
        sums.fill(0.0);
        totals.fill(0.0);
        largest.fill(f32::NEG_INFINITY);

        let keys = match attention.mask {
            Mask::Causal => attention.key.tokens.min(queries.end),
            _ => attention.key.tokens,
        };
        for first in (0..keys).step_by(KEYS) {
            let keys = first..keys.min(first + KEYS);
            head.scores(simd, &queries, &keys, scores);
            let rows = scores.chunks_mut(STRIDE).zip(largest.iter_mut().zip(totals.iter_mut()));
            let sums_of = sums.chunks_mut(head.padded());
            for ((query, (scores, (largest, total))), sums) in
                queries.clone().zip(rows).zip(sums_of)
            {
                let scores = &mut scores[..keys.len()];
                let factor = head.bias(scores, query, keys.start);
                let (shrink, sum) = softmax(scores, factor, largest);
                *total = *total * shrink + sum;
                if shrink != 1.0 {
                    sums.iter_mut().for_each(|sum| *sum *= shrink);
                }
            }
            head.weigh(simd, queries.len(), &keys, scores, sums);
        }
        head.write(&queries, sums, totals, target);
    }
}

impl Head<'_> {
    /// `q · kᵀ` for some queries and keys, in rows of [`STRIDE`].
    #[inline(always)]
    fn scores<S: Simd>(
        &self,
        simd: S,
        queries: &Range<usize>,
        keys: &Range<usize>,
        scores: &mut [f32],
    ) {
        let attention = self.attention;
        let matrix = attention.query.head(self.sample, self.head, attention.head_dim);
        let full = self.keys.full_width();
        let run = [Run { source: 0, offset: 0, length: attention.head_dim }];
        let first_panel = keys.start / full;
        for panel in first_panel..keys.end.div_ceil(full) {
            let column = (panel - first_panel) * full;
            for first in (0..queries.len()).step_by(ROWS) {
                let mut rows = [core::ptr::null(); ROWS];
                for (row, pointer) in rows.iter_mut().enumerate() {
                    let query = queries.start + (first + row).min(queries.len() - 1);
                    let values = &matrix.values[query * matrix.stride..][..attention.head_dim];
                    *pointer = values.as_ptr();
                }
                let length = (ROWS - 1) * STRIDE + self.keys.width(panel);
                let place = &mut scores[first * STRIDE + column..][..length];
                let place = (place.as_mut_ptr(), STRIDE, Begin::Zero);
                let values = self.keys.values(panel).as_ptr();
                // SAFETY: the rows have the head's width, the panel has that depth, the scores have the whole tile.
                unsafe {
                    micro::tile(
                        simd,
                        &run,
                        &[rows],
                        (values, values),
                        self.keys.width(panel),
                        place,
                    );
                }
            }
        }
    }

    /// Masks the scores; returns by what they are to be multiplied yet.
    #[inline(always)]
    fn bias(&self, scores: &mut [f32], query: usize, first: usize) -> f32 {
        let scale = self.attention.scale;
        match self.attention.mask {
            Mask::None => scale,
            Mask::Causal => {
                let seen = (query + 1).saturating_sub(first).min(scores.len());
                let (seen, later) = scores.split_at_mut(seen);
                seen.iter_mut().for_each(|score| *score *= scale);
                later.fill(f32::NEG_INFINITY);
                1.0
            }
            Mask::Additive(values, dims) => {
                let index = |axis: usize, index: usize| if dims[axis] == 1 { 0 } else { index };
                let row = (index(0, self.sample) * dims[1] + index(1, self.head)) * dims[2];
                let bias = &values[(row + index(2, query)) * dims[3] + first..];
                let scores = scores.iter_mut().zip(bias);
                scores.for_each(|(score, bias)| *score = *score * scale + bias);
                1.0
            }
        }
    }

    /// Adds the values of some keys, weighed by the scores, to the sums.
    #[inline(always)]
    fn weigh<S: Simd>(
        &self,
        simd: S,
        queries: usize,
        keys: &Range<usize>,
        scores: &[f32],
        sums: &mut [f32],
    ) {
        let padded = self.padded();
        let run = [Run { source: 0, offset: 0, length: keys.len() }];
        let mut column = 0;
        for panel in 0..self.values.count() {
            let width = self.values.width(panel);
            let values = &self.values.values(panel)[keys.start * width..][..keys.len() * width];
            for first in (0..queries).step_by(ROWS) {
                let mut rows = [core::ptr::null(); ROWS];
                for (row, pointer) in rows.iter_mut().enumerate() {
                    *pointer = scores[(first + row) * STRIDE..][..keys.len()].as_ptr();
                }
                let place = &mut sums[first * padded + column..][..(ROWS - 1) * padded + width];
                let place = (place.as_mut_ptr(), padded, Begin::Output);
                let right = (values.as_ptr(), values.as_ptr());
                // SAFETY: each row of scores has the keys, the panel was cut to them, the sums have the whole tile.
                unsafe { micro::tile(simd, &run, &[rows], right, width, place) };
            }
            column += width;
        }
    }

    #[inline(always)]
    fn write(&self, queries: &Range<usize>, sums: &mut [f32], totals: &[f32], target: Output<'_>) {
        let attention = self.attention;
        let width = attention.heads * attention.head_dim;
        let rows = sums.chunks_mut(self.padded()).zip(totals);
        for (query, (sums, total)) in queries.clone().zip(rows) {
            let row = self.sample * attention.query.tokens + query;
            let inverse = 1.0 / total;
            let sums = &mut sums[..attention.head_dim];
            sums.iter_mut().for_each(|sum| *sum *= inverse);
            // SAFETY: this task alone has these queries of this head.
            unsafe { target.write(row * width + self.head * attention.head_dim, sums) };
        }
    }
}

/// Turns scores, times a factor, into weights relative to the largest so far. Returns by what earlier sums shrink, and the sum
/// of the weights.
#[inline(always)]
fn softmax(scores: &mut [f32], factor: f32, largest: &mut f32) -> (f32, f32) {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [*largest; LANES];
    let chunks = scores.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(*largest, |most, score| larger(most, score * factor));
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, score * factor);
        }
    }
    let most = lanes.into_iter().fold(rest, larger);
    // Where all keys so far are masked, nothing is to be subtracted.
    let base = if most == f32::NEG_INFINITY { 0.0 } else { most };
    let shrink = exp(*largest - base);
    *largest = most;

    let mut lanes = [0.0f32; LANES];
    let mut chunks = scores.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *score = exp(*score * factor - base);
            *lane += *score;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for score in chunks.into_remainder() {
        *score = exp(*score * factor - base);
        sum += *score;
    }
    (shrink, sum)
}
