//! Columns and their way back.

use burn_cubecl::CubeRuntime;

use super::{super::columns as kernels, Bench};
use crate::{
    Conv2dOptions, Padding,
    testing::{Array, reference},
};

struct Case {
    first: [usize; 4],
    second: usize,
    upsample: Option<[usize; 2]>,
    kernel: [usize; 2],
    options: Conv2dOptions,
}

fn cases() -> [Case; 6] {
    let case = |first, second, upsample, kernel, stride, padding| Case {
        first,
        second,
        upsample,
        kernel,
        options: Conv2dOptions { stride, padding },
    };
    let uneven = Padding { top: 2, left: 0, bottom: 1, right: 3 };
    [
        case([2, 5, 3, 6], 0, None, [3, 3], 1, Padding::same(1)),
        case([2, 5, 3, 8], 4, None, [3, 3], 2, Padding::end(1)),
        case([1, 3, 3, 4], 3, Some([5, 5]), [3, 3], 1, Padding::same(1)),
        case([3, 4, 6, 12], 0, Some([8, 12]), [2, 4], 1, uneven),
        case([1, 1, 1, 5], 2, None, [1, 1], 1, Padding::default()),
        case([2, 7, 6, 16], 0, None, [2, 4], 3, uneven),
    ]
}

fn expected(image: &Array, kernel: [usize; 2], options: Conv2dOptions) -> Array {
    let [batch, height, width, channels] = image.dims();
    let [rows, columns] = options.output_size([height, width], kernel).unwrap();
    let [kernel_h, kernel_w] = kernel;
    let shape = [batch, rows, columns, kernel_h, kernel_w, channels];
    let values = Array::from_fn(shape, |[sample, row, column, y, x, channel]| {
        let y = (row * options.stride + y).checked_sub(options.padding.top);
        let x = (column * options.stride + x).checked_sub(options.padding.left);
        match (y, x) {
            (Some(y), Some(x)) if y < height && x < width => image.at([sample, y, x, channel]),
            _ => 0.0,
        }
    });
    values.reshape(&[batch, rows * columns, kernel_h * kernel_w * channels])
}

pub(super) fn columns<R: CubeRuntime>(bench: &mut Bench<R>) {
    for Case { first, second, upsample, kernel, options } in cases() {
        let [batch, height, width, _] = first;
        let first = bench.random(&first);
        let second = (second > 0).then(|| bench.random(&[batch, height, width, second]));
        let image = reference::materialise(&first, second.as_ref(), upsample);
        let found = kernels::columns(
            bench.upload(&first),
            second.as_ref().map(|second| bench.upload(second)),
            upsample,
            kernel,
            options,
        );
        bench.check("columns", &expected(&image, kernel, options), found);
    }
}

/// The columns of some rows are those rows of all columns.
pub(super) fn rows<R: CubeRuntime>(bench: &mut Bench<R>) {
    let (kernel, options) = ([3, 3], Conv2dOptions { stride: 2, padding: Padding::same(1) });
    let image = bench.random(&[1, 9, 4, 4]);
    let all = expected(&image, kernel, options);
    let (columns, length) = (2, 36);
    let values = &all.values()[columns * length..4 * columns * length];
    let expected = Array::new(&[1, 3 * columns, length], values.to_vec());
    let image = bench.upload(&image);
    let found = kernels::columns_of_rows(image, None, None, kernel, options, 1..4);
    bench.check("rows", &expected, found);
}

pub(super) fn spreads<R: CubeRuntime>(bench: &mut Bench<R>) {
    for Case { first: [batch, height, width, channels], kernel, options, .. } in cases() {
        let [rows, columns] = options.output_size([height, width], kernel).unwrap_or_default();
        if rows * columns == 0 {
            continue;
        }
        let grad = bench.random(&[batch, rows, columns, channels]);
        let Conv2dOptions { stride, padding } = options;
        let source = |pixel: usize, kernel: usize, padding: usize, count: usize| {
            let offset = (pixel + padding).checked_sub(kernel)?;
            (offset.is_multiple_of(stride) && offset / stride < count).then_some(offset / stride)
        };
        let shape = [batch, height, width, kernel[0], kernel[1], channels];
        let expected = Array::from_fn(shape, |[sample, y, x, kernel_y, kernel_x, channel]| {
            let row = source(y, kernel_y, padding.top, rows);
            let column = source(x, kernel_x, padding.left, columns);
            match (row, column) {
                (Some(row), Some(column)) => grad.at([sample, row, column, channel]),
                _ => 0.0,
            }
        });
        let expected = expected.reshape(&[batch, height * width, kernel[0] * kernel[1] * channels]);
        let found = kernels::spread(bench.upload(&grad), kernel, options, [height, width]);
        bench.check("spread", &expected, found);
    }
}
