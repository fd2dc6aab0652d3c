//! Per-sample, per-channel vectors.

use burn::tensor::{DType, Tensor, backend::Backend};

/// One value per sample and channel, as a view of a projection's output: channel `c` is column `offset + c`. Several views
/// of one projection (scale and shift of a norm, a gate) cost nothing.
#[derive(Debug, Clone)]
pub struct Channels<B: Backend> {
    /// `[batch, width]`.
    pub projection: Tensor<B, 2>,
    /// Column of the first channel.
    pub offset: usize,
}

impl<B: Backend> From<Tensor<B, 2>> for Channels<B> {
    fn from(projection: Tensor<B, 2>) -> Self {
        Self { projection, offset: 0 }
    }
}

impl<B: Backend> Channels<B> {
    /// The view as a tensor, `[batch, channels]`.
    pub fn to_tensor(self, channels: usize) -> Tensor<B, 2> {
        if self.offset == 0 && self.projection.dims()[1] == channels {
            self.projection
        } else {
            self.projection.narrow(1, self.offset, channels)
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.projection.dtype()
    }

    /// Whether the view stays inside a projection of `batch` rows.
    pub fn fits(&self, batch: usize, channels: usize) -> bool {
        let [rows, width] = self.projection.dims();
        rows == batch && self.offset + channels <= width
    }
}
