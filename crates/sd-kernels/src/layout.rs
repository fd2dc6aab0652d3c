//! Between the `[batch, channels, height, width]` of users and the `[batch, height, width, channels]` of models.

use burn::tensor::{Tensor, backend::Backend};

/// `[batch, channels, height, width]` → `[batch, height, width, channels]`, as a view.
pub fn to_channels_last<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 4> {
    image.permute([0, 2, 3, 1])
}

/// `[batch, height, width, channels]` → `[batch, channels, height, width]`.
///
/// In memory too, for what leaves a model: Burn 0.21 has operations that go wrong on permuted tensors (upstream #5552).
pub fn to_channels_first<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 4> {
    let image = image.permute([0, 3, 1, 2]);
    let dims = image.dims();
    image.reshape([dims.iter().product::<usize>()]).reshape(dims)
}
