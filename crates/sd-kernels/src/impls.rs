//! Which backends have the operations.

use burn::tensor::{DType, Tensor, TensorData, backend::AutodiffBackend};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use crate::{DiffusionBackend, WeightRole};

/// The default bodies differentiate, so training needs no kernels of its own.
impl<B: DiffusionBackend, C: CheckpointStrategy> DiffusionBackend for Autodiff<B, C> {
    fn upload_weight<const D: usize>(
        data: TensorData,
        role: WeightRole,
        dtype: DType,
        device: &<B as burn::tensor::backend::BackendTypes>::Device,
    ) -> Tensor<Self, D> {
        Tensor::from_inner(B::upload_weight(data, role, dtype, device))
    }
}

/// What training needs: a backend that differentiates over one with the operations. Every `Autodiff<B>` is one.
pub trait TrainBackend: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend> {}

impl<B: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend>> TrainBackend for B {}

/// The default bodies, in plain operations that Burn may fuse. The project's own backends are not wrapped in `Fusion`
/// (ARCHITECTURE.md, decision 3); this is for those of others.
#[cfg(feature = "fusion")]
impl<B: burn_fusion::FusionBackend> DiffusionBackend for burn_fusion::Fusion<B> {}
