//! Vectors of channels against positions.

use burn::tensor::{Tensor, backend::Backend};

/// Combines every position with a vector of channels.
///
/// The gradient of the vector is a sum over all positions. CubeCL 0.10 sums along one axis with one thread for each result, so
/// the positions are laid out over two axes of about the same length: many more threads then have much less to add.
///
/// # Shapes
/// - x, output: `[batch, positions, channels]`
/// - vector: `[batch or 1, channels]`
pub(super) fn with_vector<B: Backend>(
    x: Tensor<B, 3>,
    vector: Tensor<B, 2>,
    combine: impl Fn(Tensor<B, 4>, Tensor<B, 4>) -> Tensor<B, 4>,
) -> Tensor<B, 3> {
    let shape @ [batch, positions, channels] = x.dims();
    let rows = near_root(positions);
    let x = x.reshape([batch, rows, positions / rows, channels]);
    let vector = vector.reshape([-1, 1, 1, channels as i32]);
    combine(x, vector).reshape(shape)
}

/// The largest divisor that is no larger than the root, at least 1.
pub(super) fn near_root(count: usize) -> usize {
    (1..=count.isqrt()).rev().find(|rows| count.is_multiple_of(*rows)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::near_root;

    #[test]
    fn divisors_near_the_root() {
        let found = [0, 1, 7, 12, 4096, 128 * 96].map(near_root);
        assert_eq!(found, [1, 1, 1, 3, 64, 96]);
    }
}
