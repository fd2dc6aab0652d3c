//! Images as the matrices of which convolutions are products.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::{prelude::*, std::FastDivmod};

use super::rows::{Grid, address_type, dims, empty_like, pitch, row_major, vector_size};
use crate::Conv2dOptions;

/// Where a kernel looks in the image.
#[derive(CubeLaunch, CubeType)]
struct Window {
    stride: usize,
    top: usize,
    left: usize,
}

/// The image that a pair and an upsampling stand for; lengths of rows in vectors.
#[derive(CubeLaunch, CubeType)]
struct Image {
    /// As it is stored.
    height: usize,
    width: usize,
    /// As the kernel sees it.
    rows: usize,
    columns: usize,
    /// Stored pixels for one that is seen.
    row_scale: f32,
    column_scale: f32,
    /// Vectors of a pixel of the first image.
    first: usize,
    first_pitch: usize,
    second_pitch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Parts {
    paired: bool,
    upsampled: bool,
}

/// Source index of a pixel of an upsampled image, in f32 as on the host.
#[cube]
fn nearest(index: usize, scale: f32, size: usize) -> usize {
    let source = usize::cast_from(f32::cast_from(index) * scale);
    min(source, size - 1)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn columns_kernel<F: Float, N: Size>(
    first: &Tensor<Vector<F, N>>,
    second: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    // Batch, rows, columns, kernel rows, kernel columns, vectors of channels.
    shape: Sequence<FastDivmod<usize>>,
    total: usize,
    first_row: usize,
    window: Window,
    image: Image,
    #[comptime] parts: Parts,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let (rest, channel) = shape[5].div_mod(ABSOLUTE_POS);
    let (rest, kernel_x) = shape[4].div_mod(rest);
    let (rest, kernel_y) = shape[3].div_mod(rest);
    let (rest, x) = shape[2].div_mod(rest);
    let (sample, y) = shape[1].div_mod(rest);
    // With the padding.
    let y = (y + first_row) * window.stride + kernel_y;
    let x = x * window.stride + kernel_x;

    let mut value = Vector::<F, N>::new(F::new(0.0));
    if y >= window.top
        && y - window.top < image.rows
        && x >= window.left
        && x - window.left < image.columns
    {
        let mut source_y = y - window.top;
        let mut source_x = x - window.left;
        if comptime!(parts.upsampled) {
            source_y = nearest(source_y, image.row_scale, image.height);
            source_x = nearest(source_x, image.column_scale, image.width);
        }
        let pixel = (sample * image.height + source_y) * image.width + source_x;
        if comptime!(parts.paired) {
            if channel < image.first {
                value = first[pixel * image.first_pitch + channel];
            } else {
                value = second[pixel * image.second_pitch + channel - image.first];
            }
        } else {
            value = first[pixel * image.first_pitch + channel];
        }
    }
    output[ABSOLUTE_POS] = value;
}

/// What lies under the kernel at each output pixel, in the order of the kernel's rows, its columns, and channels.
///
/// # Shapes
/// - first, second: `[batch, height, width, channels]`, channels one after the other
/// - output: `[batch, rows · columns, kernel_h · kernel_w · channels]`
pub(crate) fn columns<R: CubeRuntime>(
    first: CubeTensor<R>,
    second: Option<CubeTensor<R>>,
    upsample: Option<[usize; 2]>,
    kernel: [usize; 2],
    options: Conv2dOptions,
) -> CubeTensor<R> {
    let [_, height, width, _] = dims(&first);
    let size = options.output_size(upsample.unwrap_or([height, width]), kernel);
    let [rows, _] = size.unwrap_or_default();
    columns_of_rows(first, second, upsample, kernel, options, 0..rows)
}

/// [`columns`] for some rows of the output.
pub(super) fn columns_of_rows<R: CubeRuntime>(
    first: CubeTensor<R>,
    second: Option<CubeTensor<R>>,
    upsample: Option<[usize; 2]>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    rows: core::ops::Range<usize>,
) -> CubeTensor<R> {
    let (first, second) = (row_major(first), second.map(row_major));
    let [batch, height, width, first_channels] = dims(&first);
    let second_channels = second.as_ref().map_or(0, |second| dims::<R, 4>(second)[3]);
    let seen = upsample.unwrap_or([height, width]);
    let [_, columns] = options.output_size(seen, kernel).unwrap_or_default();
    let pitches = [pitch(&first), second.as_ref().map_or(0, pitch)];
    let vector = vector_size([first_channels, second_channels].into_iter().chain(pitches));

    let channels = first_channels + second_channels;
    let length = kernel[0] * kernel[1] * channels;
    let output = empty_like(&first, [batch, rows.len() * columns, length], first.dtype);
    let total = output.meta.num_elements() / vector;
    if total == 0 {
        return output;
    }
    let shape = [batch, rows.len(), columns, kernel[0], kernel[1], channels / vector];
    let parts = Parts { paired: second.is_some(), upsampled: upsample.is_some() };
    let second = second.unwrap_or_else(|| first.clone());
    let grid = Grid::elementwise(&first.client, total);
    let image = ImageLaunch::new(
        height,
        width,
        seen[0],
        seen[1],
        height as f32 / seen[0] as f32,
        width as f32 / seen[1] as f32,
        first_channels / vector,
        pitches[0] / vector,
        pitches[1] / vector,
    );
    // SAFETY: a unit writes an element of the output, and reads inside of the images.
    unsafe {
        columns_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&first, &second, &output]),
            vector,
            first.into_tensor_arg(),
            second.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            shape.into_iter().collect(),
            total,
            rows.start,
            window(options),
            image,
            parts,
            output.dtype.into(),
        );
    }
    output
}

fn window<R: CubeRuntime>(options: Conv2dOptions) -> WindowLaunch<R> {
    let padding = options.padding;
    WindowLaunch::new(options.stride, padding.top, padding.left)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn spread_kernel<F: Float, N: Size>(
    grad: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    // Batch, height, width, kernel rows, kernel columns, vectors of channels.
    shape: Sequence<FastDivmod<usize>>,
    total: usize,
    rows: usize,
    columns: usize,
    pitch: usize,
    window: Window,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let (rest, channel) = shape[5].div_mod(ABSOLUTE_POS);
    let (rest, kernel_x) = shape[4].div_mod(rest);
    let (rest, kernel_y) = shape[3].div_mod(rest);
    let (rest, x) = shape[2].div_mod(rest);
    let (sample, y) = shape[1].div_mod(rest);
    let y = y + window.top;
    let x = x + window.left;

    let mut value = Vector::<F, N>::new(F::new(0.0));
    if y >= kernel_y && x >= kernel_x {
        let y = y - kernel_y;
        let x = x - kernel_x;
        let row = y / window.stride;
        let column = x / window.stride;
        if row * window.stride == y && column * window.stride == x && row < rows && column < columns
        {
            value = grad[((sample * rows + row) * columns + column) * pitch + channel];
        }
    }
    output[ABSOLUTE_POS] = value;
}

/// Which elements of a convolution's output each pixel of its input is part of, at each place of the kernel: times the weights, it is
/// the gradient of the image.
///
/// # Shapes
/// - grad: `[batch, rows, columns, channels]`
/// - image: `[height, width]`
/// - output: `[batch, height · width, kernel_h · kernel_w · channels]`
pub(crate) fn spread<R: CubeRuntime>(
    grad: CubeTensor<R>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    image: [usize; 2],
) -> CubeTensor<R> {
    let grad = row_major(grad);
    let [batch, rows, columns, channels] = dims(&grad);
    let pitch = pitch(&grad);
    let vector = vector_size([channels, pitch]);
    let [height, width] = image;
    let length = kernel[0] * kernel[1] * channels;
    let output = empty_like(&grad, [batch, height * width, length], grad.dtype);
    let total = output.meta.num_elements() / vector;
    if total == 0 {
        return output;
    }
    let shape = [batch, height, width, kernel[0], kernel[1], channels / vector];
    let grid = Grid::elementwise(&grad.client, total);
    // SAFETY: a unit writes an element of the output, and reads inside of the gradient.
    unsafe {
        spread_kernel::launch_unchecked(
            &output.client,
            grid.count,
            grid.dim,
            address_type(&[&grad, &output]),
            vector,
            grad.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            shape.into_iter().collect(),
            total,
            rows,
            columns,
            pitch / vector,
            window(options),
            output.dtype.into(),
        );
    }
    output
}
