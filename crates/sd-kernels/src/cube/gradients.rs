//! What gradients are made of, by kernels where there is one.

use burn::tensor::{Tensor, backend::Backend};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::{
    columns as windows, epilogue as tail,
    group_norm::{self as group, GroupNorm},
    layer_norm::{self as layer, LayerNorm},
    ops::{SCORES, affine, has_kernels, primitive, row_major, tensor},
    softmax, sum,
};
use crate::{
    Activation, Affine, AttentionMask, AttentionOptions, Conv2dOptions, ConvInput, Gate,
    GroupNormOptions, Heads, LayerNormOptions, NormGradients,
    default::{self, gradients, widen},
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
fn affine_of<B, R>(partial: [CubeTensor<R>; 2], dtype: burn::tensor::FloatDType) -> Affine<B>
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

/// As [`gradients::attention_backward`], with all scores at once where they are few enough and only hidden by position.
pub(super) fn attention<B, R>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
    gradient: Tensor<B, 3>,
) -> [Tensor<B, 3>; 3]
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let [batch, queries, width] = gradient.dims();
    let [_, keys, _] = key.projection.dims();
    let dtype = gradient.dtype();
    let few = batch * options.heads * queries * keys <= SCORES;
    let causal = match &options.mask {
        AttentionMask::None => Some(false),
        AttentionMask::Causal => Some(true),
        AttentionMask::Additive(_) => None,
    };
    let Some(causal) = causal.filter(|_| few && has_kernels(dtype)) else {
        return gradients::attention_backward(query, key, value, options, gradient);
    };
    let views = [query, key, value, gradient.into()];
    let [query, key, value, gradient] = views.map(|Heads { projection, offset }| {
        let projection = row_major(projection);
        widen(default::heads(Heads { projection, offset }, &options))
    });
    let scale = options.scale_or_default() as f32;
    let scores = query.clone().matmul(key.clone().swap_dims(2, 3));
    let shares: Tensor<B, 4> = tensor(softmax::forward(primitive(scores), scale, causal));
    let of_shares = gradient.clone().matmul(value.swap_dims(2, 3));
    let of_values = shares.clone().swap_dims(2, 3).matmul(gradient);
    let of_scores = softmax::backward(primitive(shares), primitive(of_shares), scale);
    let of_scores: Tensor<B, 4> = tensor(of_scores);
    let of_queries = of_scores.clone().matmul(key);
    let of_keys = of_scores.swap_dims(2, 3).matmul(query);
    [(of_queries, queries), (of_keys, keys), (of_values, keys)].map(|(gradient, tokens)| {
        gradient.swap_dims(1, 2).reshape([batch, tokens, width]).cast(dtype)
    })
}
