//! Sums over positions.

use burn::tensor::{Tensor, backend::Backend};

use super::super::{vectors::near_root, widen};

/// See [`DiffusionBackend::sum_positions`](crate::DiffusionBackend::sum_positions).
///
/// CubeCL 0.10 sums along one axis with one thread for each result, so the positions are laid out over two axes of about the
/// same length: many more threads then have much less to add.
pub fn sum_positions<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, positions, channels] = x.dims();
    let dtype = x.dtype();
    let rows = near_root(positions);
    let x = widen(x).reshape([batch, rows, positions / rows, channels]);
    x.sum_dim(2).sum_dim(1).reshape([batch, channels]).cast(dtype)
}
