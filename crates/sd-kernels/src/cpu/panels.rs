//! Matrices in the order in which the register tile reads them.

use core::ops::Range;

use rayon::prelude::*;

use super::{halves::Halves, left::Matrix, simd::Registers};

/// Rows of a panel that are filled at a time: a cache line of each column of the source.
const TRANSPOSED: usize = 16;

/// The columns of a `[depth, columns]` matrix in panels of some registers' width: in each, row after row. The last panel is
/// as many registers wide as it needs, filled with zeros.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    values: Values,
    depth: usize,
    columns: usize,
    registers: Registers,
}

#[derive(Debug, Clone)]
enum Values {
    Full(Vec<f32>),
    Half(Halves),
}

impl Panels {
    /// Packs the transpose of a `[columns, depth]` matrix, the order of weights in checkpoints.
    pub(crate) fn of_weight(weight: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(weight.len(), columns * depth, "a weight of {columns}×{depth}");
        Self::of_transposed(Matrix { values: weight, rows: columns, depth, stride: depth })
    }

    /// As [`of_weight`](Self::of_weight), in half of the memory where 16 bits have all values exactly, as they have those of a file
    /// of 16 bits.
    pub(crate) fn of_weight_compact(weight: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(weight.len(), columns * depth, "a weight of {columns}×{depth}");
        let registers = Registers::here();
        let matrix = Matrix { values: weight, rows: columns, depth, stride: depth };
        let full = registers.width();
        let length = depth * columns.next_multiple_of(registers.lanes);
        let halves = Halves::of_parts(weight, length, depth * full, |panel, values| {
            if !values.len().is_multiple_of(depth * full) {
                values.fill(0.0);
            }
            transpose(matrix, panel * full, full, values);
        });
        match halves {
            Some(halves) => Self { values: Values::Half(halves), depth, columns, registers },
            None => Self::of_transposed(matrix),
        }
    }

    /// Packs the transpose of a matrix.
    pub(super) fn of_transposed(matrix: Matrix<'_>) -> Self {
        let Matrix { rows: columns, depth, .. } = matrix;
        let registers = Registers::here();
        let full = registers.width();
        let mut values = zeros(depth, columns, registers);
        let panels = values.par_chunks_mut((depth * full).max(1)).enumerate();
        panels.for_each(|(panel, values)| transpose(matrix, panel * full, full, values));
        Self { values: Values::Full(values), depth, columns, registers }
    }

    /// Packs a matrix as it is.
    pub(super) fn of_matrix(matrix: Matrix<'_>) -> Self {
        let Matrix { values: source, rows: depth, depth: columns, stride } = matrix;
        let registers = Registers::here();
        let full = registers.width();
        let mut values = zeros(depth, columns, registers);
        for (panel, values) in values.chunks_mut((depth * full).max(1)).enumerate() {
            let first = panel * full;
            let count = full.min(columns - first);
            let width = values.len() / depth;
            for (row, values) in values.chunks_mut(width).enumerate() {
                values[..count].copy_from_slice(&source[row * stride + first..][..count]);
            }
        }
        Self { values: Values::Full(values), depth, columns, registers }
    }

    /// The weight again, `[columns, depth]`.
    pub(crate) fn to_weight(&self) -> Vec<f32> {
        let (depth, full) = (self.depth, self.full_width());
        let mut weight = vec![0.0; self.columns * depth];
        weight.par_chunks_mut((full * depth).max(1)).enumerate().for_each(|(panel, rows)| {
            let mut scratch = vec![0.0; self.scratch(depth)];
            let (values, width) = (self.rows(panel, 0..depth, &mut scratch), self.width(panel));
            for (column, row) in rows.chunks_mut(depth).enumerate() {
                let values = values[column..].iter().step_by(width);
                row.iter_mut().zip(values).for_each(|(target, value)| *target = *value);
            }
        });
        weight
    }

    /// Rows of the matrix.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of panels.
    pub(super) fn count(&self) -> usize {
        self.columns.div_ceil(self.full_width())
    }

    /// Columns of every panel but perhaps the last.
    pub(super) fn full_width(&self) -> usize {
        self.registers.width()
    }

    /// Columns of a panel, those filled up with zeros among them.
    pub(super) fn width(&self, panel: usize) -> usize {
        (self.columns - panel * self.full_width())
            .min(self.full_width())
            .next_multiple_of(self.registers.lanes)
    }

    /// Values that [`rows`](Self::rows) needs of scratch memory for so many rows.
    pub(super) fn scratch(&self, rows: usize) -> usize {
        match self.values {
            Values::Full(_) => 0,
            Values::Half(_) => rows * self.full_width(),
        }
    }

    /// Some rows of a panel, of its width each: where they lie, or widened into the scratch memory.
    #[inline(always)]
    pub(super) fn rows<'a>(
        &'a self,
        panel: usize,
        rows: Range<usize>,
        scratch: &'a mut [f32],
    ) -> &'a [f32] {
        let width = self.width(panel);
        let first = panel * self.full_width() * self.depth + rows.start * width;
        let length = rows.len() * width;
        match &self.values {
            Values::Full(values) => &values[first..][..length],
            Values::Half(halves) => {
                let scratch = &mut scratch[..length];
                halves.widen(first, scratch);
                scratch
            }
        }
    }

    /// A panel that is not [compact](Self::of_weight_compact): `depth` rows of its width.
    #[inline(always)]
    pub(super) fn values(&self, panel: usize) -> &[f32] {
        self.rows(panel, 0..self.depth, &mut [])
    }

    /// Whether [`rows`](Self::rows) lie in memory as they are.
    pub(super) fn is_full(&self) -> bool {
        matches!(self.values, Values::Full(_))
    }
}

/// Writes the rows of a matrix from `first` on, `full` of them at most, as the columns of a panel.
fn transpose(matrix: Matrix<'_>, first: usize, full: usize, panel: &mut [f32]) {
    let Matrix { values: source, rows, depth, stride } = matrix;
    let count = full.min(rows - first);
    let width = panel.len() / depth;
    // In blocks that stay in the first cache.
    for (block, values) in panel.chunks_mut(width * TRANSPOSED).enumerate() {
        let length = values.len() / width;
        for column in 0..count {
            let row = (first + column) * stride + block * TRANSPOSED;
            let targets = values[column..].iter_mut().step_by(width);
            let row = &source[row..][..length];
            targets.zip(row).for_each(|(target, value)| *target = *value);
        }
    }
}

fn zeros(depth: usize, columns: usize, registers: Registers) -> Vec<f32> {
    vec![0.0; depth * columns.next_multiple_of(registers.lanes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_comes_back() {
        for (columns, depth) in [(1, 1), (3, 5), (64, 7), (65, 2), (200, 33), (0, 4), (4, 0)] {
            let weight: Vec<f32> = (0..columns * depth).map(|index| (index % 999) as f32).collect();
            let panels = Panels::of_weight(&weight, columns, depth);
            assert_eq!(panels.to_weight(), weight, "{columns}×{depth}");
            let panels = Panels::of_weight_compact(&weight, columns, depth);
            assert!(!panels.is_full());
            assert_eq!(panels.to_weight(), weight, "{columns}×{depth}");
        }
    }
}
