//! Attention.

use burn::tensor::{Tensor, backend::Backend};
use burn_ndarray::NdArrayTensor;

use super::buffer::{self, Buffer};
use crate::{
    AttentionMask, AttentionOptions, Heads,
    cpu::attention::{Attention, Mask, View},
};

/// See [`DiffusionBackend::fused_attention`](crate::DiffusionBackend::fused_attention).
pub(super) fn attention<B>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = NdArrayTensor>,
{
    let [batch, queries, _] = query.projection.dims();
    let (heads, head_dim) = (options.heads, options.head_dim);
    let scale = options.scale_or_default() as f32;
    let held = [query, key, value].map(|heads| {
        let [_, tokens, width] = heads.projection.dims();
        (Buffer::new(heads.projection), tokens, width, heads.offset)
    });
    let [query, key, value] = [0, 1, 2].map(|index| {
        let (buffer, tokens, width, offset) = &held[index];
        let (tokens, width, offset) = (*tokens, *width, *offset);
        View { values: buffer.as_slice(), tokens, width, offset }
    });
    let bias = match &options.mask {
        AttentionMask::Additive(bias) => Some((bias.dims(), Buffer::new(bias.clone()))),
        _ => None,
    };
    let mask = match (&bias, options.mask) {
        (Some((dims, values)), _) => Mask::Additive(values.as_slice(), *dims),
        (None, AttentionMask::Causal) => Mask::Causal,
        (None, _) => Mask::None,
    };
    let values = Attention { query, key, value, mask, batch, heads, head_dim, scale }.run();
    buffer::tensor(values, [batch, queries, heads * head_dim])
}
