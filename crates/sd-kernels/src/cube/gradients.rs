//! What gradients are made of, by kernels where there is one.

use burn::tensor::{DType, FloatDType, Tensor, backend::Backend};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::{
    columns as windows, epilogue as tail,
    group_norm::{self as group, GroupNorm},
    layer_norm::{self as layer, LayerNorm},
    ops::{affine, has_kernels, primitive, tensor},
    row, sum,
};
use crate::{
    Activation, Affine, Conv2dOptions, ConvInput, Gate, GroupNormOptions, LayerNormOptions,
    NormGradients,
    default::{self, gradients},
};

pub(super) fn columns<B, R>(
    input: ConvInput<B>,
    kernel: [usize; 2],
    options: Conv2dOptions,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if !has_kernels(input.dtype()) {
        return gradients::columns(input, kernel, options);
    }
    let ConvInput { first, second, upsample } = input;
    let plain = second.is_none() && upsample.is_none();
    if plain && kernel == [1, 1] && options == Conv2dOptions::default() {
        let [batch, height, width, channels] = first.dims();
        return first.reshape([batch, height * width, channels]);
    }
    tensor(windows::columns(primitive(first), second.map(primitive), upsample, kernel, options))
}

pub(super) fn spread<B, R>(
    gradient: Tensor<B, 4>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    image: [usize; 2],
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if !has_kernels(gradient.dtype()) {
        return gradients::spread(gradient, kernel, options, image);
    }
    if kernel == [1, 1] && options == Conv2dOptions::default() {
        let [batch, height, width, channels] = gradient.dims();
        return gradient.reshape([batch, height * width, channels]);
    }
    tensor(windows::spread(primitive(gradient), kernel, options, image))
}

pub(super) fn sum_positions<B, R>(input: Tensor<B, 3>) -> Tensor<B, 2>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    match has_kernels(input.dtype()) {
        true => tensor(sum::sum_positions(primitive(input))),
        false => gradients::sum_positions(input),
    }
}

pub(super) fn row<B, R>(
    values: Vec<(usize, Tensor<B, 1>)>,
    length: usize,
    device: &B::Device,
) -> Tensor<B, 1>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if !values.iter().all(|(_, values)| has_kernels(values.dtype())) {
        return default::row(values, length, device);
    }
    let row: CubeTensor<R> = primitive(Tensor::<B, 1>::zeros([length], (device, DType::F32)));
    for (start, values) in values {
        row::place(&row, start, primitive(values));
    }
    tensor(row)
}

pub(super) fn activation<B, R>(
    input: Tensor<B, 3>,
    activation: Option<Activation>,
    gate: Gate,
    gradient: Tensor<B, 3>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if !has_kernels(input.dtype()) {
        return gradients::activation_backward(input, activation, gate, gradient);
    }
    let (input, gradient) = (primitive(input), primitive(gradient));
    tensor(tail::activation_backward(input, activation, gate, gradient))
}

pub(super) fn group_norm<B, R>(
    input: Tensor<B, 4>,
    options: GroupNormOptions<B>,
    gradient: Tensor<B, 4>,
) -> NormGradients<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if options.modulation.is_some() || !has_kernels(input.dtype()) {
        return gradients::group_norm_backward(input, options, gradient);
    }
    let GroupNormOptions { groups, eps, activation, .. } = options;
    let dtype = input.dtype();
    let options = GroupNorm { groups, eps, affine: affine(options.affine), activation };
    let found = group::backward(primitive(input), options, primitive(gradient));
    let affine = found.affine.map(|partial| affine_of::<B, R>(partial, dtype.into()));
    NormGradients { input: tensor(found.input), affine }
}

pub(super) fn layer_norm<B, R>(
    input: Tensor<B, 3>,
    options: LayerNormOptions<B>,
    gradient: Tensor<B, 3>,
) -> NormGradients<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if options.modulation.is_some() || !has_kernels(input.dtype()) {
        return gradients::layer_norm_backward(input, options, gradient);
    }
    let dtype = input.dtype();
    let options = LayerNorm { eps: options.eps, affine: affine(options.affine) };
    let found = layer::backward(primitive(input), options, primitive(gradient));
    let affine = found.affine.map(|partial| affine_of::<B, R>(partial, dtype.into()));
    NormGradients { input: tensor(found.input), affine }
}

/// Adds up gradients of samples or of blocks of rows, `[parts, channels]` each.
fn affine_of<B, R>(partial: [CubeTensor<R>; 2], dtype: FloatDType) -> Affine<B>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let [weight, bias] = partial.map(|partial| {
        let partial: Tensor<B, 2> = tensor(partial);
        sum_positions::<B, R>(partial.unsqueeze()).squeeze_dim(0).cast(dtype)
    });
    Affine { weight, bias }
}
