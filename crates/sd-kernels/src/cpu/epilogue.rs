//! Epilogues, on rows of a tile.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    math::activate,
    memory::{Output, fresh},
    simd::dispatch,
};
use crate::{Activation, Gate};

/// Rows that one task finishes.
const ROWS: usize = 64;

/// An [`Epilogue`](crate::Epilogue) whose tensors are slices, or what holds them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail<V> {
    /// `[channels]`.
    pub(crate) bias: Option<V>,
    /// `[samples, channels]`.
    pub(crate) channel_add: Option<V>,
    pub(crate) activation: Option<Activation>,
    pub(crate) gate: Gate,
    /// `[samples, out]`.
    pub(crate) channel_mul: Option<V>,
    pub(crate) scale: f32,
    /// `[rows, out]`.
    pub(crate) residual: Option<V>,
    pub(crate) output_scale: f32,
    /// Columns of the product.
    pub(crate) channels: usize,
    pub(crate) rows_per_sample: usize,
}

impl<V> Tail<V> {
    /// One that changes nothing.
    pub(crate) fn none(channels: usize) -> Self {
        Self {
            bias: None,
            channel_add: None,
            activation: None,
            gate: Gate::None,
            channel_mul: None,
            scale: 1.0,
            residual: None,
            output_scale: 1.0,
            channels,
            rows_per_sample: usize::MAX,
        }
    }

    /// Columns of the output.
    pub(crate) fn out(&self) -> usize {
        match self.gate {
            Gate::None => self.channels,
            Gate::Pair => self.channels / 2,
        }
    }
}

impl<V: AsRef<[f32]>> Tail<V> {
    /// What it holds, as slices.
    pub(crate) fn slices(&self) -> Tail<&[f32]> {
        fn slice<V: AsRef<[f32]>>(values: &Option<V>) -> Option<&[f32]> {
            values.as_ref().map(AsRef::as_ref)
        }
        Tail {
            bias: slice(&self.bias),
            channel_add: slice(&self.channel_add),
            channel_mul: slice(&self.channel_mul),
            residual: slice(&self.residual),
            activation: self.activation,
            gate: self.gate,
            scale: self.scale,
            output_scale: self.output_scale,
            channels: self.channels,
            rows_per_sample: self.rows_per_sample,
        }
    }
}

impl Tail<&[f32]> {
    /// An epilogue on its own: of rows of `channels` values.
    pub(crate) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = input.len().checked_div(self.channels).unwrap_or(0);
        let fill = |target: Output<'_>| {
            input.par_chunks((self.channels * ROWS).max(1)).enumerate().for_each(
                |(block, input)| {
                    dispatch(Rows { tail: self, first: block * ROWS, target, input });
                },
            );
        };
        // SAFETY: the blocks have all rows between them.
        unsafe { fresh(rows * self.out(), fill) }
    }

    /// Finishes the columns from `column` on of a row, in place.
    #[inline(always)]
    pub(crate) fn finish(&self, values: &mut [f32], row: usize, column: usize) {
        self.add(values, row, column);
        activate(values, self.activation);
        self.scale_and_add(values, row, column);
    }

    /// The same for values and their gates, whose columns lie half of the channels further on.
    #[inline(always)]
    pub(crate) fn finish_pair(
        &self,
        target: &mut [f32],
        [values, gates]: [&mut [f32]; 2],
        row: usize,
        column: usize,
    ) {
        self.add(values, row, column);
        self.add(gates, row, self.channels / 2 + column);
        activate(gates, self.activation);
        for ((target, value), gate) in target.iter_mut().zip(values).zip(gates) {
            *target = *value * *gate;
        }
        self.scale_and_add(target, row, column);
    }

    #[inline(always)]
    fn add(&self, values: &mut [f32], row: usize, column: usize) {
        if let Some(bias) = self.bias {
            add(values, &bias[column..]);
        }
        if let Some(summands) = self.channel_add {
            let sample = row / self.rows_per_sample;
            add(values, &summands[sample * self.channels + column..]);
        }
    }

    #[inline(always)]
    fn scale_and_add(&self, values: &mut [f32], row: usize, column: usize) {
        if let Some(factors) = self.channel_mul {
            let sample = row / self.rows_per_sample;
            let factors = &factors[sample * self.out() + column..];
            values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
        if self.scale != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.scale);
        }
        if let Some(residual) = self.residual {
            add(values, &residual[row * self.out() + column..]);
        }
        if self.output_scale != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.output_scale);
        }
    }
}

/// Some rows of an epilogue on its own.
struct Rows<'a> {
    tail: &'a Tail<&'a [f32]>,
    first: usize,
    target: Output<'a>,
    input: &'a [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { tail, first, target, input } = self;
        let (mut row, mut output) = (vec![0.0; tail.channels], vec![0.0; tail.out()]);
        for (index, input) in input.chunks(tail.channels.max(1)).enumerate() {
            row.copy_from_slice(input);
            let values = match tail.gate {
                Gate::None => {
                    tail.finish(&mut row, first + index, 0);
                    &row
                }
                Gate::Pair => {
                    let (values, gates) = row.split_at_mut(tail.out());
                    tail.finish_pair(&mut output, [values, gates], first + index, 0);
                    &output
                }
            };
            // SAFETY: this block alone has these rows.
            unsafe { target.write((first + index) * tail.out(), values) };
        }
    }
}

#[inline(always)]
fn add(values: &mut [f32], summands: &[f32]) {
    values.iter_mut().zip(summands).for_each(|(value, summand)| *value += summand);
}
