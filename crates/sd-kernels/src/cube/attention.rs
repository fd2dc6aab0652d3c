//! Attention and its gradient: Burn's matrix products around a kernel for the softmax.

use burn::tensor::{Tensor, backend::Backend};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::{
    ops::{has_kernels, primitive, row_major, tensor},
    rows::room,
    softmax::{self, Seen},
};
use crate::{
    AttentionMask, AttentionOptions, Heads,
    default::{self, gradients, widen},
};

/// Most elements of a score matrix that are held at once (256 MiB). More go through the default bodies, in chunks.
const SCORES: usize = 1 << 26;

/// What a query sees, where all scores can be held at once and are only hidden by position.
fn seen<B, R>(query: &Heads<B>, key: &Heads<B>, options: &AttentionOptions<B>) -> Option<Seen>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let [batch, queries, _] = query.projection.dims();
    let [_, keys, _] = key.projection.dims();
    let device = primitive(query.projection.clone());
    let scores = batch * options.heads * queries * keys;
    if scores > SCORES.min(room(&device)) || !has_kernels(query.projection.dtype()) {
        return None;
    }
    match &options.mask {
        AttentionMask::None => Some(Seen::All),
        AttentionMask::Causal => Some(Seen::NotLater),
        AttentionMask::Additive(_) => None,
    }
}

/// The view of a row-major projection.
fn in_rows<B, R>(view: Heads<B>) -> Heads<B>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    Heads { projection: row_major(view.projection), offset: view.offset }
}

/// As [`default::attention`].
pub(crate) fn forward<B, R>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    mut options: AttentionOptions<B>,
) -> Tensor<B, 3>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let dtype = query.projection.dtype();
    let [query, key, value] = [query, key, value].map(in_rows);
    if let AttentionMask::Additive(mask) = options.mask {
        options.mask = AttentionMask::Additive(row_major(mask));
    }
    let Some(seen) = seen(&query, &key, &options) else {
        return default::attention(query, key, value, options);
    };
    let [batch, queries, _] = query.projection.dims();
    let [query, key, value] = [query, key, value].map(|view| default::heads(view, &options));
    let scores = widen(query).matmul(widen(key).swap_dims(2, 3));
    let scale = options.scale_or_default() as f32;
    let shares: Tensor<B, 4> = tensor(softmax::forward(primitive(scores), scale, seen));
    let output = shares.cast(dtype).matmul(value).swap_dims(1, 2);
    output.reshape([batch, queries, options.heads * options.head_dim])
}

/// As [`gradients::attention_backward`].
pub(super) fn backward<B, R>(
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
    let Some(seen) = seen(&query, &key, &options) else {
        return gradients::attention_backward(query, key, value, options, gradient);
    };
    let [batch, queries, width] = gradient.dims();
    let [_, keys, _] = key.projection.dims();
    let dtype = gradient.dtype();
    let views = [query, key, value, gradient.into()];
    let [query, key, value, gradient] =
        views.map(|view| widen(default::heads(in_rows(view), &options)));
    let scale = options.scale_or_default() as f32;
    let scores = query.clone().matmul(key.clone().swap_dims(2, 3));
    let shares: Tensor<B, 4> = tensor(softmax::forward(primitive(scores), scale, seen));
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
