//! Bodies whose gradients are fast, too: matrix products, sample by sample.
//!
//! The gradient of a weight is a product that adds up over all positions of all samples. CubeCL 0.10 gives such a product to as
//! few workers as its small result has tiles; with an axis for the samples it is as many times more.

use burn::tensor::{Tensor, backend::Backend};

use super::{epilogue as apply, materialise};
use crate::{Conv2dOptions, ConvInput, Epilogue, Padding, Weight};

/// See [`DiffusionBackend::fused_conv2d`](crate::DiffusionBackend::fused_conv2d): the pixels under each place of the kernel side
/// by side, times the weights.
///
/// It takes the memory of the input as often as the kernel has places. In return the gradients are matrix products, too:
/// those of Burn 0.21's own convolution take many times as long, on the CPU and on CUDA.
pub fn conv2d_by_columns<B: Backend>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4> {
    let image = materialise(input);
    let weight = weight.to_dense(&image.device());
    let [batch, height, width, _] = image.dims();
    let [channels, kernel_h, kernel_w, depth] = weight.dims();
    // The front has checked that the kernel fits.
    let [rows, columns] =
        options.output_size([height, width], [kernel_h, kernel_w]).unwrap_or_default();

    let stride = options.stride;
    let phases = split(image, options.padding, stride);
    let mut taps = Vec::with_capacity(kernel_h * kernel_w);
    for (y, x) in (0..kernel_h).flat_map(|y| (0..kernel_w).map(move |x| (y, x))) {
        let phase = &phases[y % stride][x % stride];
        taps.push(phase.clone().narrow(1, y / stride, rows).narrow(2, x / stride, columns));
    }
    let pixels = rows * columns;
    let length = kernel_h * kernel_w * depth;
    let matrix = match taps.len() {
        1 => taps.remove(0),
        _ => Tensor::cat(taps, 3),
    };
    let out = epilogue.output_channels(channels);
    let matrix = matrix.reshape([batch, pixels, length]);
    let product = product(matrix, weight.reshape([channels, length]));
    apply(product, epilogue.reshape([batch, pixels, out])).reshape([batch, rows, columns, out])
}

/// See [`DiffusionBackend::fused_linear`](crate::DiffusionBackend::fused_linear).
pub fn linear_by_samples<B: Backend>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3> {
    let weight = weight.to_dense(&input.device());
    apply(product(input, weight), epilogue)
}

/// `[batch, positions, in]` times `[out, in]`.
fn product<B: Backend>(input: Tensor<B, 3>, weight: Tensor<B, 2>) -> Tensor<B, 3> {
    input.matmul(weight.transpose().unsqueeze())
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
    (0..stride)
        .map(|y| {
            let image = image.clone().narrow(2, y, 1);
            (0..stride)
                .map(|x| {
                    let phase = image.clone().narrow(4, x, 1);
                    phase.reshape([batch, rows, columns, channels])
                })
                .collect()
        })
        .collect()
}

/// A `[batch, height, width, channels]` image with zeros around it. Burn 0.21's own `pad` makes them in the device's default
/// dtype, whatever that of the image.
pub(super) fn padded<B: Backend>(image: Tensor<B, 4>, padding: Padding) -> Tensor<B, 4> {
    let [batch, height, width, channels] = image.dims();
    let Padding { top, left, bottom, right } = padding;
    if top + left + bottom + right == 0 {
        return image;
    }
    let shape = [batch, top + height + bottom, left + width + right, channels];
    let zeros = Tensor::zeros(shape, (&image.device(), image.dtype()));
    zeros.slice_assign([0..batch, top..top + height, left..left + width, 0..channels], image)
}
