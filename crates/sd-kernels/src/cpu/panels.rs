//! Matrices in the order in which the register tile reads them.

use rayon::prelude::*;

use super::{left::Matrix, simd::Registers};

/// Rows of a panel that are filled at a time: a cache line of each column of the source.
const TRANSPOSED: usize = 16;

/// The columns of a `[depth, columns]` matrix in panels of some registers' width: in each, row after row. The last panel is
/// as many registers wide as it needs, filled with zeros.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    values: Vec<f32>,
    depth: usize,
    columns: usize,
    registers: Registers,
}

impl Panels {
    /// Packs the transpose of a `[columns, depth]` matrix, the order of weights in checkpoints.
    pub(crate) fn of_weight(weight: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(weight.len(), columns * depth, "a weight of {columns}×{depth}");
        Self::of_transposed(Matrix { values: weight, rows: columns, depth, stride: depth })
    }

    /// Packs the transpose of a matrix.
    pub(super) fn of_transposed(matrix: Matrix<'_>) -> Self {
        let Matrix { values: source, rows: columns, depth, stride } = matrix;
        let mut panels = Self::zeros(depth, columns);
        let full = panels.full_width();
        panels.values.par_chunks_mut((depth * full).max(1)).enumerate().for_each(
            |(panel, values)| {
                let first = panel * full;
                let count = full.min(columns - first);
                let width = values.len() / depth;
                // In blocks that stay in the first cache.
                for (block, values) in values.chunks_mut(width * TRANSPOSED).enumerate() {
                    let length = values.len() / width;
                    for column in 0..count {
                        let row = (first + column) * stride + block * TRANSPOSED;
                        let targets = values[column..].iter_mut().step_by(width);
                        let row = &source[row..][..length];
                        targets.zip(row).for_each(|(target, value)| *target = *value);
                    }
                }
            },
        );
        panels
    }

    /// Packs a matrix as it is.
    pub(super) fn of_matrix(matrix: Matrix<'_>) -> Self {
        let Matrix { values: source, rows: depth, depth: columns, stride } = matrix;
        let mut panels = Self::zeros(depth, columns);
        let full = panels.full_width();
        for (panel, values) in panels.values.chunks_mut((depth * full).max(1)).enumerate() {
            let first = panel * full;
            let count = full.min(columns - first);
            let width = values.len() / depth;
            for (row, values) in values.chunks_mut(width).enumerate() {
                values[..count].copy_from_slice(&source[row * stride + first..][..count]);
            }
        }
        panels
    }

    fn zeros(depth: usize, columns: usize) -> Self {
        let registers = Registers::here();
        let values = vec![0.0; depth * columns.next_multiple_of(registers.lanes)];
        Self { values, depth, columns, registers }
    }

    /// The weight again, `[columns, depth]`.
    pub(crate) fn to_weight(&self) -> Vec<f32> {
        let mut weight = vec![0.0; self.columns * self.depth];
        weight.par_chunks_mut(self.depth.max(1)).enumerate().for_each(|(column, row)| {
            let (panel, column) = (column / self.full_width(), column % self.full_width());
            let values = self.values(panel)[column..].iter().step_by(self.width(panel));
            row.iter_mut().zip(values).for_each(|(target, value)| *target = *value);
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

    /// A panel: `depth` rows of its width.
    pub(super) fn values(&self, panel: usize) -> &[f32] {
        let first = panel * self.full_width() * self.depth;
        &self.values[first..][..self.width(panel) * self.depth]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_comes_back() {
        for (columns, depth) in [(1, 1), (3, 5), (64, 7), (65, 2), (200, 33), (0, 4), (4, 0)] {
            let weight: Vec<f32> = (0..columns * depth).map(|index| index as f32).collect();
            let panels = Panels::of_weight(&weight, columns, depth);
            assert_eq!(panels.to_weight(), weight, "{columns}×{depth}");
        }
    }
}
