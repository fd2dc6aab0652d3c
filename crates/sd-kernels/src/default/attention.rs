//! Attention in chunks over the queries.

use burn::tensor::{Bool, Tensor, activation, backend::Backend};

use super::widen;
use crate::{AttentionMask, AttentionOptions, Heads};

/// Most elements of the score matrix that are held at once (64 MiB in f32).
pub(super) const SCORES: usize = 1 << 24;

/// See [`DiffusionBackend::fused_attention`](crate::DiffusionBackend::fused_attention).
///
/// Scores are formed and normalised in f32, since those of SD 2.x overflow f16; only the last product is in the input's
/// dtype.
pub fn attention<B: Backend>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
) -> Tensor<B, 3> {
    attention_in_chunks(query, key, value, options, SCORES)
}

/// [`attention`] that holds at most `limit` elements of the score matrix at once, or those of one query.
pub(crate) fn attention_in_chunks<B: Backend>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
    limit: usize,
) -> Tensor<B, 3> {
    let dtype = query.projection.dtype();
    let query = widen(heads(query, &options)) * options.scale_or_default();
    let key = widen(heads(key, &options)).swap_dims(2, 3);
    let value = heads(value, &options);
    let [batch, heads, queries, head_dim] = query.dims();
    let rows = rows_of(query.dims(), value.dims()[2], limit);

    let chunks = (0..queries).step_by(rows).map(|start| {
        let length = rows.min(queries - start);
        let scores = query.clone().narrow(2, start, length).matmul(key.clone());
        let scores = masked(scores, &options.mask, start);
        activation::softmax(scores, 3).cast(dtype).matmul(value.clone())
    });
    let output = Tensor::cat(chunks.collect(), 2);
    output.swap_dims(1, 2).reshape([batch, queries, heads * head_dim])
}

/// Queries whose scores are held at once, for queries `[batch, heads, tokens, head_dim]`.
pub(super) fn rows_of([batch, heads, queries, _]: [usize; 4], keys: usize, limit: usize) -> usize {
    (limit / (batch * heads * keys).max(1)).clamp(1, queries.max(1))
}

/// `[batch, heads, tokens, head_dim]` of a strided view.
pub(crate) fn heads<B: Backend>(view: Heads<B>, options: &AttentionOptions<B>) -> Tensor<B, 4> {
    let AttentionOptions { heads, head_dim, .. } = *options;
    let [batch, tokens, width] = view.projection.dims();
    let columns = if view.offset == 0 && width == heads * head_dim {
        view.projection
    } else {
        view.projection.narrow(2, view.offset, heads * head_dim)
    };
    columns.reshape([batch, tokens, heads, head_dim]).swap_dims(1, 2)
}

/// Applies the mask to the scores of the queries from `start` on.
pub(super) fn masked<B: Backend>(
    scores: Tensor<B, 4>,
    mask: &AttentionMask<B>,
    start: usize,
) -> Tensor<B, 4> {
    let [_, _, queries, keys] = scores.dims();
    match mask {
        AttentionMask::None => scores,
        AttentionMask::Causal => {
            let hidden =
                Tensor::<B, 2, Bool>::tril_mask([queries, keys], start as i64, &scores.device());
            let hidden = hidden.unsqueeze::<4>().expand(scores.dims());
            scores.mask_fill(hidden, f32::NEG_INFINITY)
        }
        AttentionMask::Additive(bias) => {
            let bias = match bias.dims()[2] {
                1 => bias.clone(),
                _ => bias.clone().narrow(2, start, queries),
            };
            scores + widen(bias)
        }
    }
}
