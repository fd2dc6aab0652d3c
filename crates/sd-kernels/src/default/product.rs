//! Matrix products and convolutions.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend, module, ops::ConvOptions};

use super::{epilogue as apply, padded, widen};
use crate::{Conv2dOptions, ConvInput, Epilogue, Weight, conv::nearest_index};

/// See [`DiffusionBackend::fused_linear`](crate::DiffusionBackend::fused_linear).
///
/// 16 bits are widened when an epilogue follows: its sums may cancel, and what a product of 16 bits was rounded by would stay.
pub fn linear<B: Backend>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3> {
    let [batch, tokens, width] = input.dims();
    let (dtype, weight) = (input.dtype(), weight.to_dense(&input.device()));
    let [out, _] = weight.dims();
    let (input, weight) = match epilogue.is_identity() {
        true => (input, weight),
        false => (widen(input), widen(weight)),
    };
    let product = input.reshape([batch * tokens, width]).matmul(weight.transpose());
    apply(product.reshape([batch, tokens, out]), epilogue).cast(dtype)
}

/// See [`DiffusionBackend::fused_conv2d`](crate::DiffusionBackend::fused_conv2d).
///
/// The bias is added by the epilogue, not by Burn's convolution, whose f16 kernels on CUDA lose it in 0.21. 16 bits are
/// widened: the direct convolution of CubeCL 0.10 adds up in the dtype of its input.
pub fn conv2d<B: Backend>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4> {
    let dtype = input.dtype();
    let input = widen(materialise(input));
    let weight = widen(weight.to_dense(&input.device()));
    let Conv2dOptions { stride, padding } = options;

    let (image, symmetric) = match padding.is_symmetric() {
        true => (input, [padding.top, padding.left]),
        false => (padded(input, padding), [0, 0]),
    };
    let image = image.permute([0, 3, 1, 2]);
    let geometry = ConvOptions::new([stride, stride], symmetric, [1, 1], 1);
    let output = module::conv2d(image, weight.permute([0, 3, 1, 2]), None, geometry);

    let output = output.permute([0, 2, 3, 1]);
    let [batch, height, width, channels] = output.dims();
    let out = epilogue.output_channels(channels);
    let rows = output.reshape([batch, height * width, channels]);
    let output = apply(rows, epilogue.reshape([batch, height * width, out]));
    output.reshape([batch, height, width, out]).cast(dtype)
}

/// The concatenated and upsampled image that a [`ConvInput`] stands for.
pub fn materialise<B: Backend>(input: ConvInput<B>) -> Tensor<B, 4> {
    let image = match input.second {
        Some(second) => Tensor::cat(vec![input.first, second], 3),
        None => input.first,
    };
    match input.upsample {
        Some([height, width]) => resample(resample(image, 1, height), 2, width),
        None => image,
    }
}

fn resample<B: Backend>(image: Tensor<B, 4>, axis: usize, target: usize) -> Tensor<B, 4> {
    let size = image.dims()[axis];
    if size == target {
        return image;
    }
    let indices: Vec<i32> =
        (0..target).map(|index| nearest_index(index, size, target) as i32).collect();
    let indices =
        Tensor::<B, 1, Int>::from_data(TensorData::new(indices, [target]), &image.device());
    image.select(axis, indices)
}
