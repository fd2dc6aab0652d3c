//! Weights in the form in which a backend reads them.

use std::{any::Any, fmt::Debug, sync::Arc};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

/// What a weight is for, which decides the form in which a backend keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightRole {
    /// `[out, in]`, read by [`fused_linear`](crate::DiffusionBackend::fused_linear).
    Linear,
    /// `[out, kernel_h, kernel_w, in]`, read by [`fused_conv2d`](crate::DiffusionBackend::fused_conv2d).
    Conv2d,
    /// `[entries, width]`, of which rows are looked up.
    Embedding,
    /// `[channels]`: a bias, or the affine of a norm.
    Vector,
}

/// A weight in a form that only its backend understands (packed panels, a Winograd transform, …).
///
/// A packed weight never changes: a new value (LoRA merged, optimiser step) is a new [`Weight`], so nothing packed can
/// become stale.
pub trait PackedWeight: Any + Debug + Send + Sync {
    /// Shape in checkpoint order.
    fn shape(&self) -> &[usize];
    /// Element type of the weight that was packed.
    fn dtype(&self) -> DType;
    /// The way back: the weight in checkpoint order, exactly as it was packed.
    fn to_data(&self) -> TensorData;
    /// For the backend to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// A weight as the operations of [`DiffusionBackend`](crate::DiffusionBackend) read it.
#[derive(Debug)]
pub enum Weight<B: Backend, const D: usize> {
    /// A tensor in checkpoint order.
    Dense(Tensor<B, D>),
    /// The backend's own form, which takes the place of the dense one.
    Packed(Arc<dyn PackedWeight>),
}

impl<B: Backend, const D: usize> Clone for Weight<B, D> {
    fn clone(&self) -> Self {
        match self {
            Self::Dense(tensor) => Self::Dense(tensor.clone()),
            Self::Packed(packed) => Self::Packed(packed.clone()),
        }
    }
}

impl<B: Backend, const D: usize> From<Tensor<B, D>> for Weight<B, D> {
    fn from(tensor: Tensor<B, D>) -> Self {
        Self::Dense(tensor)
    }
}

impl<B: Backend, const D: usize> Weight<B, D> {
    /// Shape in checkpoint order.
    ///
    /// # Panics
    /// When a backend packed a weight of another rank, which is a fault of that backend.
    pub fn dims(&self) -> [usize; D] {
        match self {
            Self::Dense(tensor) => tensor.dims(),
            Self::Packed(packed) => {
                let shape = packed.shape();
                core::array::from_fn(|axis| shape[axis])
            }
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(tensor) => tensor.dtype(),
            Self::Packed(packed) => packed.dtype(),
        }
    }

    /// The weight as a tensor in checkpoint order, unpacked when it has to be.
    pub fn to_dense(&self, device: &B::Device) -> Tensor<B, D> {
        match self {
            Self::Dense(tensor) => tensor.clone(),
            Self::Packed(packed) => Tensor::from_data(packed.to_data(), (device, packed.dtype())),
        }
    }

    /// The weight's values in checkpoint order.
    pub fn to_data(&self) -> TensorData {
        match self {
            Self::Dense(tensor) => tensor.to_data(),
            Self::Packed(packed) => packed.to_data(),
        }
    }
}
