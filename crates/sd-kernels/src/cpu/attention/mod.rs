//! Attention in tiles of queries and keys with online softmax (<https://arxiv.org/abs/1805.02867>): no score matrix exists.

mod head;
mod softmax;

use rayon::prelude::*;

use super::{
    left::Matrix,
    memory::{Output, fresh, with_scratch},
    simd::dispatch,
};
use head::{Head, QUERIES, Tile};

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
                    with_scratch(head.scratch(), |scratch| {
                        dispatch(Tile { head, queries, target, scratch });
                    });
                });
            }
        };
        // SAFETY: the tasks have all queries of all heads and samples between them.
        unsafe { fresh(self.batch * queries * width, fill) }
    }

    fn heads(&self, sample: usize) -> Vec<Head<'_>> {
        (0..self.heads).into_par_iter().map(|head| Head::new(self, sample, head)).collect()
    }
}
