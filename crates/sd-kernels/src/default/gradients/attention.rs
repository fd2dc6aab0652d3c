//! The gradient of attention, in chunks over the queries as its value is found.

use burn::tensor::{Tensor, activation, backend::Backend};

use super::super::{
    attention::{SCORES, heads, masked, rows_of},
    widen,
};
use crate::{AttentionOptions, Heads};

/// See [`DiffusionBackend::attention_backward`](crate::DiffusionBackend::attention_backward).
pub fn attention_backward<B: Backend>(
    query: Heads<B>,
    key: Heads<B>,
    value: Heads<B>,
    options: AttentionOptions<B>,
    gradient: Tensor<B, 3>,
) -> [Tensor<B, 3>; 3] {
    let dtype = gradient.dtype();
    let scale = options.scale_or_default();
    let [query, key, value, gradient] =
        [query, key, value, gradient.into()].map(|view: Heads<B>| widen(heads(view, &options)));
    let [_, _, queries, _] = query.dims();
    let rows = rows_of(query.dims(), key.dims()[2], SCORES);

    let mut of_queries = Vec::with_capacity(queries.div_ceil(rows));
    let (mut of_keys, mut of_values) = (key.zeros_like(), value.zeros_like());
    for start in (0..queries).step_by(rows) {
        let length = rows.min(queries - start);
        let query = query.clone().narrow(2, start, length) * scale;
        let gradient = gradient.clone().narrow(2, start, length);
        let scores = query.clone().matmul(key.clone().swap_dims(2, 3));
        let shares = activation::softmax(masked(scores, &options.mask, start), 3);

        of_values = of_values + shares.clone().swap_dims(2, 3).matmul(gradient.clone());
        let of_shares = gradient.matmul(value.clone().swap_dims(2, 3));
        let along = (of_shares.clone() * shares.clone()).sum_dim(3);
        let of_scores = shares * (of_shares - along);
        of_queries.push(of_scores.clone().matmul(key.clone()) * scale);
        of_keys = of_keys + of_scores.swap_dims(2, 3).matmul(query);
    }
    [Tensor::cat(of_queries, 2), of_keys, of_values].map(|gradient| {
        let [batch, heads, tokens, width] = gradient.dims();
        gradient.swap_dims(1, 2).reshape([batch, tokens, heads * width]).cast(dtype)
    })
}
