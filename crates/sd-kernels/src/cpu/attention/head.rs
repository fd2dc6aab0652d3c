//! Some queries of one head.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::{
    super::{
        memory::Output,
        panels::Panels,
        register_tile::{Begin, ROWS, Run, tile},
    },
    Attention, Mask,
    softmax::softmax,
};

/// Queries of a tile.
pub(super) const QUERIES: usize = 8 * ROWS;
/// Keys of a tile, a multiple of every panel's width.
const KEYS: usize = 512;
/// Between the scores of two queries: rows a power of two apart would share places in the first cache.
const STRIDE: usize = KEYS + 16;

/// A head of a sample, packed.
pub(super) struct Head<'a> {
    attention: &'a Attention<'a>,
    sample: usize,
    head: usize,
    /// `[head_dim, keys]`.
    keys: Panels,
    /// `[keys, head_dim]`.
    values: Panels,
}

impl<'a> Head<'a> {
    pub(super) fn new(attention: &'a Attention<'a>, sample: usize, head: usize) -> Self {
        let width = attention.head_dim;
        let keys = Panels::of_transposed(attention.key.head(sample, head, width));
        let values = Panels::of_matrix(attention.value.head(sample, head, width));
        Self { attention, sample, head, keys, values }
    }

    /// Values that a tile needs while it is worked on.
    pub(super) fn scratch(&self) -> usize {
        QUERIES * (STRIDE + self.padded() + 2)
    }

    /// Columns of all panels of the values.
    fn padded(&self) -> usize {
        (0..self.values.count()).map(|panel| self.values.width(panel)).sum()
    }
}

/// Some queries of a head.
pub(super) struct Tile<'a> {
    pub(super) head: &'a Head<'a>,
    pub(super) queries: Range<usize>,
    pub(super) target: Output<'a>,
    pub(super) scratch: &'a mut [f32],
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
                    tile(simd, &run, &[rows], (values, values), self.keys.width(panel), place);
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
                unsafe { tile(simd, &run, &[rows], right, width, place) };
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
