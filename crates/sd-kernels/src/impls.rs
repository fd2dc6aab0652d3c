//! Which backends have the operations.

use burn::tensor::{DType, Tensor, TensorData, backend::AutodiffBackend};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use crate::{Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, Weight, WeightRole, default};

/// The default bodies differentiate, so training needs no kernels of its own; those of linear and
/// convolution are chosen for fast gradients.
impl<B: DiffusionBackend, C: CheckpointStrategy> DiffusionBackend for Autodiff<B, C> {
    fn upload_weight<const D: usize>(
        data: TensorData,
        role: WeightRole,
        dtype: DType,
        device: &<B as burn::tensor::backend::BackendTypes>::Device,
    ) -> Tensor<Self, D> {
        Tensor::from_inner(B::upload_weight(data, role, dtype, device))
    }

    fn fused_linear(
        input: Tensor<Self, 3>,
        weight: &Weight<Self, 2>,
        epilogue: Epilogue<Self, 3>,
    ) -> Tensor<Self, 3> {
        default::linear_by_samples(input, weight, epilogue)
    }

    fn fused_conv2d(
        input: ConvInput<Self>,
        weight: &Weight<Self, 4>,
        options: Conv2dOptions,
        epilogue: Epilogue<Self, 4>,
    ) -> Tensor<Self, 4> {
        default::conv2d_by_columns(input, weight, options, epilogue)
    }
}

/// What training needs: a backend that differentiates over one with the operations. Every `Autodiff<B>` is one.
pub trait TrainBackend: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend> {}

impl<B: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend>> TrainBackend for B {}

/// The default bodies, in plain operations that Burn may fuse. The project's own backends are not wrapped in `Fusion`
/// (ARCHITECTURE.md, decision 3); this is for those of others.
#[cfg(feature = "fusion")]
impl<B: burn_fusion::FusionBackend> DiffusionBackend for burn_fusion::Fusion<B> {}
