//! Normalisations.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::{
    buffer::{self, Buffer},
    product::Parts,
};
use crate::{
    Affine, ConvInput, GroupNormOptions, LayerNormOptions, Modulation,
    cpu::norm::{self, GroupNorm, Scaling},
    default,
};

fn scaling<B>(
    affine: Option<Affine<B>>,
    modulation: Option<Modulation<B>>,
    channels: usize,
) -> Scaling
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let affine = affine.map(|Affine { weight, bias }| [weight, bias].map(Buffer::new));
    let modulation = modulation.map(|Modulation { scale, shift }| {
        [scale, shift].map(|channel| Buffer::new(channel.to_tensor(channels)))
    });
    let [affine, modulation] =
        [&affine, &modulation].map(|pair| pair.as_ref().map(|[a, b]| [a.as_slice(), b.as_slice()]));
    Scaling::new(channels, affine, modulation)
}

/// See [`DiffusionBackend::fused_group_norm`](crate::DiffusionBackend::fused_group_norm).
pub(super) fn group_norm<B>(input: ConvInput<B>, options: GroupNormOptions<B>) -> Tensor<B, 4>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let shape @ [batch, height, width, channels] = input.dims();
    let norm = GroupNorm {
        batch,
        pixels: height * width,
        groups: options.groups,
        eps: options.eps,
        scaling: scaling(options.affine, options.modulation, channels),
        activation: options.activation,
    };
    if shape.contains(&0) {
        return default::materialise(input);
    }
    let input = match input.upsample {
        Some(_) => default::materialise(input).into(),
        None => input,
    };
    buffer::tensor(norm.run(&Parts::new(input).image().parts), shape)
}

/// See [`DiffusionBackend::fused_layer_norm`](crate::DiffusionBackend::fused_layer_norm).
pub(super) fn layer_norm<B>(input: Tensor<B, 3>, options: LayerNormOptions<B>) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let shape @ [_, tokens, channels] = input.dims();
    let scaling = scaling(options.affine, options.modulation, channels);
    let input = Buffer::new(input);
    buffer::tensor(norm::layer_norm(input.as_slice(), tokens.max(1), options.eps, &scaling), shape)
}
