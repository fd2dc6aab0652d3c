//! Normalisations.

use burn::tensor::Tensor;
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::{
    image::ImageSlots,
    node::{Found, Parents, Slot},
};
use crate::{
    Affine, ConvInput, DiffusionBackend, GroupNormOptions, LayerNormOptions, NormGradients, default,
};

type A<B, C> = Autodiff<B, C>;

/// Where the gradients of an affine belong.
#[derive(Debug, Clone, Copy)]
struct AffineSlots {
    weight: Slot<1>,
    bias: Slot<1>,
}

fn add_affine<B: DiffusionBackend, C: CheckpointStrategy>(
    parents: &mut Parents<B, C>,
    affine: Option<Affine<A<B, C>>>,
) -> (Option<AffineSlots>, Option<Affine<B>>) {
    let Some(Affine { weight, bias }) = affine else { return (None, None) };
    let (weight_slot, weight) = parents.add(weight);
    let (bias_slot, bias) = parents.add(bias);
    (Some(AffineSlots { weight: weight_slot, bias: bias_slot }), Some(Affine { weight, bias }))
}

impl AffineSlots {
    fn set<B: DiffusionBackend>(&self, found: &mut Found<B>, affine: Option<Affine<B>>) {
        if let Some(Affine { weight, bias }) = affine {
            found.set(self.weight, weight);
            found.set(self.bias, bias);
        }
    }
}

pub(super) fn group_norm<B: DiffusionBackend, C: CheckpointStrategy>(
    input: ConvInput<A<B, C>>,
    options: GroupNormOptions<A<B, C>>,
) -> Tensor<A<B, C>, 4> {
    if options.modulation.is_some() {
        return default::group_norm(input, options);
    }
    let GroupNormOptions { groups, eps, affine, activation, .. } = options;
    let mut parents = Parents::new();
    let (image_slots, input) = ImageSlots::new(&mut parents, input);
    let (slots, affine) = add_affine(&mut parents, affine);
    let options = GroupNormOptions { groups, eps, affine, modulation: None, activation };
    let output = B::fused_group_norm(input.clone(), options.clone());
    parents.record(output, move |gradient, found| {
        let image = default::materialise(input.clone());
        let NormGradients { input, affine } =
            B::group_norm_backward(image, options.clone(), gradient);
        image_slots.set(found, input);
        if let Some(slots) = slots {
            slots.set(found, affine);
        }
    })
}

pub(super) fn layer_norm<B: DiffusionBackend, C: CheckpointStrategy>(
    input: Tensor<A<B, C>, 3>,
    options: LayerNormOptions<A<B, C>>,
) -> Tensor<A<B, C>, 3> {
    if options.modulation.is_some() {
        return default::layer_norm(input, options);
    }
    let mut parents = Parents::new();
    let (input_slot, input) = parents.add(input);
    let (slots, affine) = add_affine(&mut parents, options.affine);
    let options = LayerNormOptions { eps: options.eps, affine, modulation: None };
    let output = B::fused_layer_norm(input.clone(), options.clone());
    parents.record(output, move |gradient, found| {
        let gradients = B::layer_norm_backward(input.clone(), options.clone(), gradient);
        found.set(input_slot, gradients.input);
        if let Some(slots) = slots {
            slots.set(found, gradients.affine);
        }
    })
}
