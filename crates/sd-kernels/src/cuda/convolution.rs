//! Convolutions: products whose left operand the copy engine gathers from the image, pixel under pixel of the kernel.

use burn::tensor::{Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;

use super::{
    Primitive,
    matmul::{Product, output},
    tail::Tail,
    takes,
    tensor_map::{ROW, View},
    tiles::{ROWS, STEP, pixels},
};
use crate::{Conv2dOptions, ConvInput, Epilogue, Weight, cube, default};

/// Channels come in multiples of so many, that is, 16 bytes.
const CHANNELS: usize = 8;

/// The copy engine's largest step between pixels, and its longest box.
const STRIDE: usize = 8;
const BOX: usize = 256;

/// As [`cube::bodies::conv2d`].
pub(crate) fn forward<B>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    match product(&input, weight, options, &epilogue) {
        Some(output) => output,
        None => cube::bodies::conv2d(input, weight, options, epilogue),
    }
}

/// An image, or a weight, whose channels are `more` than they were, the added ones zero.
fn widen<B: Backend>(tensor: Tensor<B, 4>, more: usize) -> Tensor<B, 4> {
    if more == 0 {
        return tensor;
    }
    let [batch, height, width, _] = tensor.dims();
    let options = (&tensor.device(), tensor.dtype());
    let zeros = Tensor::zeros([batch, height, width, more], options);
    Tensor::cat(vec![tensor, zeros], 3)
}

/// A tensor with channels that the copy engine can read.
fn operand<B>(tensor: Tensor<B, 4>) -> Primitive
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    cube::row_major(cube::primitive(tensor))
}

/// The convolution, if the kernel takes it.
fn product<B>(
    input: &ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: &Epilogue<B, 4>,
) -> Option<Tensor<B, 4>>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let [out, kernel_h, kernel_w, _] = weight.dims();
    let probe = cube::primitive(input.first.clone());
    if !takes(&probe) || weight.dtype() != probe.dtype || options.stride > STRIDE {
        return None;
    }
    let input = match input.upsample {
        Some(_) => ConvInput::from(default::materialise(input.clone())),
        None => input.clone(),
    };
    let [batch, height, width, channels] = input.dims();
    let [out_h, out_w] = options.output_size([height, width], [kernel_h, kernel_w])?;
    let columns = epilogue.output_channels(out);
    let positions = out_h * out_w;
    if batch * positions * columns * channels == 0 || epilogue.output_channels(2) == 1 {
        return None;
    }
    let tail = Tail::new(&epilogue.clone().reshape([batch, positions, columns]), probe.dtype)?;

    // A few channels, as latents and pictures have, are filled up.
    let more = channels.next_multiple_of(CHANNELS) - channels;
    if more > 0 && input.second.is_some() {
        return None;
    }
    let weight = operand(widen(weight.to_dense(&input.device()), more));
    let first = operand(widen(input.first, more));
    let second = input.second.map(operand);
    let (log_w, log_h) = pixels([batch, out_h, out_w]);
    let extent = [ROWS >> (log_w + log_h), 1 << log_h, 1 << log_w, ROW];
    let step = [1, options.stride, options.stride, 1];
    if extent[1].max(extent[2]) * options.stride > BOX {
        return None;
    }
    let images: Vec<_> = std::iter::once(&first).chain(&second).collect();
    let of_weight = View::<4>::of(&weight);
    if !images.iter().all(|image| View::<4>::of(image).is_aligned(image))
        || !of_weight.is_aligned(&weight)
    {
        return None;
    }

    let chunks = |image: &Primitive| image.meta.shape()[3].div_ceil(STEP);
    let [chunks_first, chunks_second] = [chunks(&first), second.as_ref().map_or(0, chunks)];
    let tiles = [out_w.div_ceil(extent[2]), out_h.div_ceil(extent[1]), batch.div_ceil(extent[0])];
    let product = Product {
        rows: batch * positions,
        columns,
        positions,
        row_tiles: tiles.iter().product(),
        steps: kernel_h * kernel_w * (chunks_first + chunks_second),
        dtype: first.dtype,
        convolution: Some([
            chunks_first,
            chunks_second,
            first.meta.shape()[3],
            kernel_w,
            options.stride,
            options.padding.top,
            options.padding.left,
            out_h,
            out_w,
            batch,
            log_w as usize,
            log_h as usize,
            tiles[0],
            tiles[1],
        ]),
        pair: second.is_some(),
    };
    let cut = product.cut(&first, false);
    let mut maps: Vec<_> =
        images.iter().map(|image| View::<4>::of(*image).map(image, extent, step)).collect();
    maps.push(of_weight.map(&weight, [cut.columns, 1, 1, ROW], [1; 4]));
    let (target, result) = output::<B, 4>(&first, [batch, out_h, out_w, columns], first.dtype);
    product.launch(&target, cut, &tail, maps);
    Some(result)
}
