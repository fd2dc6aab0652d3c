//! Convolution by im2col in tiles of output pixels, so that the whole matrix never exists.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;
use rayon::prelude::*;

use super::{
    buffer::{self, Buffer},
    epilogue::{self, Tail},
    gemm,
};
use crate::{Conv2dOptions, ConvInput, Epilogue, Weight, conv::nearest_index};

/// Elements of a tile: 8 MiB of patches.
const TILE: usize = 1 << 21;

/// See [`DiffusionBackend::fused_conv2d`](crate::DiffusionBackend::fused_conv2d).
pub(crate) fn conv2d<B>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    mut epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, height, width, _] = input.dims();
    let [channels, kernel_h, kernel_w, depth] = weight.dims();
    let kernel = [kernel_h, kernel_w];
    let Some([out_h, out_w]) = options.output_size([height, width], kernel) else {
        unreachable!("`ops::conv2d` checked that the kernel fits");
    };
    let out = epilogue.output_channels(channels);
    let weight = Buffer::new(weight.to_dense(&input.device()));
    let image = Image::new(input);
    let patches = Patches { image, kernel, options, size: [out_h, out_w], depth };

    let rows = batch * out_h * out_w;
    let width = kernel_h * kernel_w * depth;
    let mut product = epilogue::start(epilogue.take_bias(), rows, channels);
    if let Some(rows) = patches.as_rows() {
        gemm::accumulate(
            &mut product,
            rows,
            weight.as_slice(),
            [rows.len() / width.max(1), channels, width],
        );
    } else {
        let tile = (TILE / width.max(1)).max(1).min(rows);
        let mut matrix = vec![0.0; tile * width];
        for (index, product) in product.chunks_mut(tile * channels).enumerate() {
            let rows = product.len() / channels;
            let matrix = &mut matrix[..rows * width];
            patches.gather(matrix, index * tile, width);
            gemm::accumulate(product, matrix, weight.as_slice(), [rows, channels, width]);
        }
    }
    let values = Tail::new(epilogue, channels, out_h * out_w).finish(product);
    buffer::tensor(values, [batch, out_h, out_w, out])
}

/// A [`ConvInput`] as slices.
struct Image {
    parts: Vec<(Buffer, usize)>,
    source: [usize; 2],
    size: [usize; 2],
}

impl Image {
    fn new<B>(input: ConvInput<B>) -> Self
    where
        B: Backend<FloatTensorPrimitive = NdArrayTensor>,
    {
        let [_, height, width, channels] = input.first.dims();
        let mut parts = vec![(Buffer::new(input.first), channels)];
        if let Some(second) = input.second {
            let channels = second.dims()[3];
            parts.push((Buffer::new(second), channels));
        }
        let source = [height, width];
        Self { parts, source, size: input.upsample.unwrap_or(source) }
    }

    /// Copies the channels of one pixel of the virtual image.
    fn copy_pixel(&self, sample: usize, [row, column]: [usize; 2], mut target: &mut [f32]) {
        let [height, width] = self.source;
        let row =
            if self.size[0] == height { row } else { nearest_index(row, height, self.size[0]) };
        let column =
            if self.size[1] == width { column } else { nearest_index(column, width, self.size[1]) };
        let pixel = (sample * height + row) * width + column;
        for (part, channels) in &self.parts {
            let (head, rest) = target.split_at_mut(*channels);
            head.copy_from_slice(&part.as_slice()[pixel * channels..][..*channels]);
            target = rest;
        }
    }
}

/// The rows of the im2col matrix.
struct Patches {
    image: Image,
    kernel: [usize; 2],
    options: Conv2dOptions,
    size: [usize; 2],
    depth: usize,
}

impl Patches {
    /// The matrix without copying, when it is the image itself (1×1, stride 1, nothing to paste together).
    fn as_rows(&self) -> Option<&[f32]> {
        let plain = self.kernel == [1, 1]
            && self.options == Conv2dOptions::default()
            && self.image.size == self.image.source;
        match self.image.parts.as_slice() {
            [(image, _)] if plain => Some(image.as_slice()),
            _ => None,
        }
    }

    /// Fills `matrix` with the patches of the output pixels from `first` on.
    fn gather(&self, matrix: &mut [f32], first: usize, width: usize) {
        let [out_h, out_w] = self.size;
        matrix.par_chunks_mut(width).enumerate().for_each(|(row, patch)| {
            let pixel = first + row;
            let (sample, pixel) = (pixel / (out_h * out_w), pixel % (out_h * out_w));
            self.gather_one(patch, sample, [pixel / out_w, pixel % out_w]);
        });
    }

    fn gather_one(&self, patch: &mut [f32], sample: usize, [row, column]: [usize; 2]) {
        let Conv2dOptions { stride, padding } = self.options;
        let [kernel_h, kernel_w] = self.kernel;
        let taps = (0..kernel_h).flat_map(|y| (0..kernel_w).map(move |x| (y, x)));
        for ((y, x), target) in taps.zip(patch.chunks_mut(self.depth)) {
            let y = (row * stride + y).checked_sub(padding.top).filter(|y| *y < self.image.size[0]);
            let x =
                (column * stride + x).checked_sub(padding.left).filter(|x| *x < self.image.size[1]);
            match (y, x) {
                (Some(y), Some(x)) => self.image.copy_pixel(sample, [y, x], target),
                _ => target.fill(0.0),
            }
        }
    }
}
