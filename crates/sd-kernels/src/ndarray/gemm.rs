//! The one place where `gemm`'s raw interface is called.

use gemm::Parallelism;

/// A matrix in a slice, with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values, `row_stride` apart.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same matrix transposed.
    pub(crate) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.values.len(), "a matrix reaches beyond its slice");
        }
    }
}

/// A matrix to be written, rows of consecutive values.
pub(crate) struct MatrixMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) row_stride: usize,
}

/// Whether a product starts from what is in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// From what is there.
    Output,
    /// From zero.
    Zero,
}

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// This thread.
    One,
    /// All of rayon's.
    All,
}

/// `output += scale · left · right`, or without the sum.
pub(crate) fn product(
    output: MatrixMut<'_>,
    start: Start,
    scale: f32,
    [left, right]: [Matrix<'_>; 2],
    threads: Threads,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows, "a product of {m}×{k} and {}×{n}", right.rows);
    left.check();
    right.check();
    if m == 0 || n == 0 {
        return;
    }
    let last = (m - 1) * output.row_stride + n - 1;
    assert!(last < output.values.len() && output.row_stride >= n, "an output of {m}×{n}");
    let parallelism = match threads {
        // A product this small is over before a second thread has woken.
        Threads::All if m * n * k > 65_536 => Parallelism::Rayon(0),
        _ => Parallelism::None,
    };
    // SAFETY: the last element that each matrix reaches lies inside its slice, as was just checked, rows of the output do
    // not overlap, and the output is borrowed mutably, so it overlaps neither of the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            output.values.as_mut_ptr(),
            1,
            output.row_stride as isize,
            start == Start::Output,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `output += rows · weightᵀ`, in parallel over rayon's threads.
///
/// # Shapes
/// - output: `[m, n]`, rows: `[m, k]`, weight: `[n, k]`, all row-major and dense
pub(crate) fn accumulate(output: &mut [f32], rows: &[f32], weight: &[f32], [m, n, k]: [usize; 3]) {
    let output = MatrixMut { values: output, row_stride: n };
    let operands = [Matrix::new(rows, m, k, k), Matrix::new(weight, n, k, k).transposed()];
    product(output, Start::Output, 1.0, operands, Threads::All);
}
