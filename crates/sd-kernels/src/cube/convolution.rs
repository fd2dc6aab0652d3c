//! Convolutions as matrix products.

use core::ops::Range;

use burn::tensor::{Tensor, backend::Backend};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::{
    columns::columns_of_rows,
    ops::{primitive, tensor},
    rows,
};
use crate::{Conv2dOptions, ConvInput, default::joined};

/// Most elements of columns that are held at once (512 MiB in f32), if the device has room for so many.
const LIMIT: usize = 1 << 27;

/// Elements of columns that are held at once where a tensor is.
pub(super) fn limit<R: CubeRuntime>(tensor: &CubeTensor<R>) -> usize {
    LIMIT.min(rows::room(tensor))
}

/// Some samples, and the output's rows that are computed of each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    samples: Range<usize>,
    rows: Range<usize>,
}

/// Cuts the work so that no piece needs more than `limit` elements, if a row does not: by samples, or by rows of one sample.
fn pieces([batch, rows]: [usize; 2], per_row: usize, limit: usize) -> Vec<Vec<Piece>> {
    let cut = |count: usize, length: usize| {
        (0..count).step_by(length).map(move |start| start..count.min(start + length))
    };
    let fitting = (limit / per_row.max(1)).max(1);
    let samples = (fitting / rows.max(1)).max(1);
    let height = if samples > 1 { rows } else { fitting.min(rows) }.max(1);
    cut(batch, samples)
        .map(|samples| {
            cut(rows, height).map(|rows| Piece { samples: samples.clone(), rows }).collect()
        })
        .collect()
}

/// The convolution as it is before its epilogue, as the product of columns and weights; at most about `limit` elements of the columns
/// are held at once.
///
/// # Shapes
/// - input: `[batch, height, width, in]`
/// - weight: `[out, kernel_h, kernel_w, in]`
/// - output: `[batch, rows, columns, out]`
pub(super) fn product<B, R>(
    input: ConvInput<B>,
    weight: Tensor<B, 4>,
    options: Conv2dOptions,
    limit: usize,
) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let [batch, height, width, depth] = input.dims();
    let [out, kernel_h, kernel_w, _] = weight.dims();
    let kernel = [kernel_h, kernel_w];
    // The front has checked that the kernel fits.
    let [rows, columns] = options.output_size([height, width], kernel).unwrap_or_default();
    let length = kernel_h * kernel_w * depth;
    let matrix = weight.reshape([out, length]).transpose();

    let plain = input.second.is_none() && input.upsample.is_none();
    if plain && kernel == [1, 1] && options == Conv2dOptions::default() {
        let pixels = input.first.reshape([batch * height * width, depth]);
        return pixels.matmul(matrix).reshape([batch, height, width, out]);
    }
    let ConvInput { first, second, upsample } = input;
    let samples = |image: &Tensor<B, 4>, range: &Range<usize>| match range.len() == batch {
        true => image.clone(),
        false => image.clone().narrow(0, range.start, range.len()),
    };
    let multiply = |piece: Piece| -> Tensor<B, 4> {
        let shape = [piece.samples.len(), piece.rows.len(), columns, out];
        let first = primitive(samples(&first, &piece.samples));
        let second = second.as_ref().map(|second| primitive(samples(second, &piece.samples)));
        let window = columns_of_rows(first, second, upsample, kernel, options, piece.rows);
        let window: Tensor<B, 3> = tensor(window);
        let window = window.reshape([shape[0] * shape[1] * columns, length]);
        window.matmul(matrix.clone()).reshape(shape)
    };
    let parts = pieces([batch, rows], columns * length, limit).into_iter();
    let parts = parts.map(|rows| joined(rows.into_iter().map(multiply).collect(), 1));
    joined(parts.collect(), 0)
}

#[cfg(test)]
mod unit {
    use super::{Piece, pieces};

    #[test]
    fn pieces_are_small_enough_and_cover_everything() {
        let of = |samples, rows| Piece { samples, rows };
        assert_eq!(pieces([2, 3], 10, 100), [vec![of(0..2, 0..3)]]);
        assert_eq!(pieces([3, 3], 10, 60), [vec![of(0..2, 0..3)], vec![of(2..3, 0..3)]]);
        let rows = |sample| vec![of(sample..sample + 1, 0..2), of(sample..sample + 1, 2..3)];
        assert_eq!(pieces([2, 3], 10, 25), [rows(0), rows(1)]);
        assert_eq!(pieces([1, 2], 10, 1), [vec![of(0..1, 0..1), of(0..1, 1..2)]]);
    }
}
