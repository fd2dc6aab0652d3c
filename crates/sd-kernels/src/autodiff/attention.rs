//! Attention.

use burn::tensor::Tensor;
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use super::{node::Parents, tail::placed};
use crate::{AttentionMask, AttentionOptions, DiffusionBackend, Heads, default};

pub(super) fn attention<B: DiffusionBackend, C: CheckpointStrategy>(
    query: Heads<Autodiff<B, C>>,
    key: Heads<Autodiff<B, C>>,
    value: Heads<Autodiff<B, C>>,
    options: AttentionOptions<Autodiff<B, C>>,
) -> Tensor<Autodiff<B, C>, 3> {
    let mask = match options.mask {
        AttentionMask::None => AttentionMask::None,
        AttentionMask::Causal => AttentionMask::Causal,
        AttentionMask::Additive(_) => return default::attention(query, key, value, options),
    };
    let AttentionOptions { heads, head_dim, scale, .. } = options;
    let options = AttentionOptions { heads, head_dim, scale, mask };

    let mut parents = Parents::new();
    let views = [query, key, value].map(|Heads { projection, offset }| {
        let (slot, projection) = parents.add(projection);
        (slot, Heads { projection, offset })
    });
    let [query, key, value] = views.clone().map(|(_, view)| view);
    let output = B::fused_attention(query, key, value, options.clone());
    parents.record(output, move |gradient, found| {
        let [query, key, value] = views.clone().map(|(_, view)| view);
        let gradients = B::attention_backward(query, key, value, options.clone(), gradient);
        for ((slot, view), gradient) in views.iter().zip(gradients) {
            let width = view.projection.dims()[2];
            found.set(*slot, placed(gradient, 2, view.offset, width));
        }
    })
}
