//! The operations of [`DiffusionBackend`](crate::DiffusionBackend), by kernels where there is one.

use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::{
    convolution,
    epilogue::{self as tail, Tail, View},
    group_norm::{self as group, GroupNorm},
    layer_norm::{self as layer, LayerNorm},
    rows,
};
use crate::{
    Affine, Channels, Conv2dOptions, ConvInput, Epilogue, GroupNormOptions, LayerNormOptions,
    Weight,
    default::{self, widen},
};

/// The tensor of the runtime.
pub(crate) fn primitive<B, R, const D: usize>(tensor: Tensor<B, D>) -> CubeTensor<R>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    tensor.into_primitive().tensor()
}

/// The way back from [`primitive`].
pub(crate) fn tensor<B, R, const D: usize>(primitive: CubeTensor<R>) -> Tensor<B, D>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Whether the kernels compute with enough digits.
pub(super) fn has_kernels(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

pub(super) fn row_major<B, R, const D: usize>(values: Tensor<B, D>) -> Tensor<B, D>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    tensor(rows::row_major(primitive(values)))
}

pub(super) fn affine<B, R>(affine: Option<Affine<B>>) -> Option<[CubeTensor<R>; 2]>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    affine.map(|Affine { weight, bias }| [weight, bias].map(primitive))
}

pub(crate) fn group_norm<B, R>(input: ConvInput<B>, options: GroupNormOptions<B>) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if options.modulation.is_some() || !has_kernels(input.dtype()) {
        return default::group_norm(input, options);
    }
    let GroupNormOptions { groups, eps, activation, .. } = options;
    let affine = affine(options.affine);
    let input = primitive(default::materialise(input));
    tensor(group::forward(input, GroupNorm { groups, eps, affine, activation }))
}

pub(crate) fn layer_norm<B, R>(input: Tensor<B, 3>, options: LayerNormOptions<B>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if options.modulation.is_some() || !has_kernels(input.dtype()) {
        return default::layer_norm(input, options);
    }
    let options = LayerNorm { eps: options.eps, affine: affine(options.affine) };
    tensor(layer::forward(primitive(input), options))
}

pub(super) fn epilogue<B, R>(input: Tensor<B, 3>, epilogue: Epilogue<B, 3>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let dtype = input.dtype();
    match has_kernels(dtype) {
        true => finish(input, epilogue, dtype),
        false => default::epilogue(input, epilogue),
    }
}

/// Applies an epilogue to a product, and rounds to `dtype`.
fn finish<B, R>(product: Tensor<B, 3>, epilogue: Epilogue<B, 3>, dtype: DType) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    if epilogue.is_identity() {
        return product.cast(dtype);
    }
    let view = |channels: Channels<B>| View {
        projection: primitive(channels.projection),
        offset: channels.offset,
    };
    let tail = Tail {
        bias: epilogue.bias.map(primitive),
        channel_add: epilogue.channel_add.map(view),
        activation: epilogue.activation,
        gate: epilogue.gate,
        channel_mul: epilogue.channel_mul.map(view),
        scale: epilogue.scale,
        residual: epilogue.residual.map(primitive),
        output_scale: epilogue.output_scale,
    };
    tensor(tail::forward(primitive(product), tail, dtype))
}

/// As [`default::linear`], which says what is widened.
pub(crate) fn linear<B, R>(
    input: Tensor<B, 3>,
    weight: &Weight<B, 2>,
    epilogue: Epilogue<B, 3>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let dtype = input.dtype();
    if epilogue.is_identity() || !has_kernels(dtype) {
        return default::linear(input, weight, epilogue);
    }
    let [batch, tokens, width] = input.dims();
    let weight = weight.to_dense(&input.device());
    let [out, _] = weight.dims();
    let product = widen(input).reshape([batch * tokens, width]).matmul(widen(weight).transpose());
    finish(product.reshape([batch, tokens, out]), epilogue, dtype)
}

/// As [`default::conv2d`], which says what is widened.
pub(crate) fn conv2d<B, R>(
    input: ConvInput<B>,
    weight: &Weight<B, 4>,
    options: Conv2dOptions,
    epilogue: Epilogue<B, 4>,
) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let dtype = input.dtype();
    let input = ConvInput {
        first: row_major(input.first),
        second: input.second.map(row_major),
        upsample: input.upsample,
    };
    let weight = row_major(weight.to_dense(&input.device()));
    if !has_kernels(dtype) {
        return default::conv2d(input, &Weight::Dense(weight), options, epilogue);
    }
    let input = ConvInput {
        first: widen(input.first),
        second: input.second.map(widen),
        upsample: input.upsample,
    };
    let limit = convolution::limit(&primitive(input.first.clone()));
    let product = convolution::product(input, widen(weight), options, limit);
    let [batch, rows, columns, channels] = product.dims();
    let out = epilogue.output_channels(channels);
    let epilogue = epilogue.reshape([batch, rows * columns, out]);
    let product = product.reshape([batch, rows * columns, channels]);
    finish(product, epilogue, dtype).reshape([batch, rows, columns, out])
}
