//! The pixels under each place of a kernel, side by side.

use burn::tensor::{Tensor, backend::Backend};

use super::super::{joined, materialise, padded};
use crate::{Conv2dOptions, ConvInput, Padding};

/// See [`DiffusionBackend::columns`](crate::DiffusionBackend::columns).
pub fn columns<B: Backend>(
    input: ConvInput<B>,
    kernel: [usize; 2],
    options: Conv2dOptions,
) -> Tensor<B, 3> {
    let image = materialise(input);
    let [batch, height, width, depth] = image.dims();
    // The front has checked that the kernel fits.
    let [rows, columns] = options.output_size([height, width], kernel).unwrap_or_default();

    let stride = options.stride;
    let phases = split(image, options.padding, stride);
    let taps = taps(kernel)
        .map(|[y, x]| {
            let phase = &phases[y % stride][x % stride];
            phase.clone().narrow(1, y / stride, rows).narrow(2, x / stride, columns)
        })
        .collect();
    joined(taps, 3).reshape([batch, rows * columns, kernel[0] * kernel[1] * depth])
}

/// See [`DiffusionBackend::spread`](crate::DiffusionBackend::spread).
pub fn spread<B: Backend>(
    gradient: Tensor<B, 4>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    image: [usize; 2],
) -> Tensor<B, 3> {
    let [batch, _, _, depth] = gradient.dims();
    let Padding { top, left, .. } = options.padding;
    let field = kernel.map(|size| size - 1);
    // Row `y + top - ky` of the gradient, for every `ky`, is row `y + (field - ky)` of one that starts `field - top` further.
    let gradient = placed(apart(gradient, 1, options.stride), 1, [field[0], top], image[0]);
    let gradient = placed(apart(gradient, 2, options.stride), 2, [field[1], left], image[1]);
    let taps = taps(kernel)
        .map(|[y, x]| {
            let rows = gradient.clone().narrow(1, field[0] - y, image[0]);
            rows.narrow(2, field[1] - x, image[1])
        })
        .collect();
    joined(taps, 3).reshape([batch, image[0] * image[1], kernel[0] * kernel[1] * depth])
}

fn taps([height, width]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
}

/// With `stride - 1` zeros after every element of an axis.
fn apart<B: Backend>(image: Tensor<B, 4>, axis: usize, stride: usize) -> Tensor<B, 4> {
    if stride == 1 {
        return image;
    }
    let mut shape = image.dims();
    let before: usize = shape[..axis].iter().product();
    let after: usize = shape[axis + 1..].iter().product();
    let size = shape[axis];
    let image = image.reshape([before, size, 1, after]);
    let zeros = Tensor::zeros([before, size, stride, after], (&image.device(), image.dtype()));
    shape[axis] = size * stride;
    zeros.slice_assign([0..before, 0..size, 0..1, 0..after], image).reshape(shape)
}

/// Cut or filled with zeros to `size + field` elements of an axis, such that element `top` comes to place `field`.
fn placed<B: Backend>(
    image: Tensor<B, 4>,
    axis: usize,
    [field, top]: [usize; 2],
    size: usize,
) -> Tensor<B, 4> {
    let mut shape = image.dims();
    let cut = top.saturating_sub(field);
    let start = field.saturating_sub(top);
    let length = (shape[axis] - cut.min(shape[axis])).min(size + field - start);
    shape[axis] = size + field;
    let zeros = Tensor::zeros(shape, (&image.device(), image.dtype()));
    if length == 0 {
        return zeros;
    }
    let mut ranges = shape.map(|size| 0..size);
    ranges[axis] = start..start + length;
    zeros.slice_assign(ranges, image.narrow(axis, cut, length))
}

/// The padded image, as one image for each phase of the stride, by row and column: pixel `(y, x)` of phase `(a, b)` is pixel
/// `(y · stride + a, x · stride + b)`.
fn split<B: Backend>(
    image: Tensor<B, 4>,
    padding: Padding,
    stride: usize,
) -> Vec<Vec<Tensor<B, 4>>> {
    let [_, height, width, _] = image.dims();
    let beyond = |size: usize| size.next_multiple_of(stride) - size;
    let padding = Padding {
        bottom: padding.bottom + beyond(height + padding.top + padding.bottom),
        right: padding.right + beyond(width + padding.left + padding.right),
        ..padding
    };
    let image = padded(image, padding);
    if stride == 1 {
        return vec![vec![image]];
    }
    let [batch, height, width, channels] = image.dims();
    let (rows, columns) = (height / stride, width / stride);
    let image = image.reshape([batch, rows, stride, columns, stride, channels]);
    let phase = |y: usize, x: usize| {
        let phase = image.clone().narrow(2, y, 1).narrow(4, x, 1);
        phase.reshape([batch, rows, columns, channels])
    };
    (0..stride).map(|y| (0..stride).map(|x| phase(y, x)).collect()).collect()
}
