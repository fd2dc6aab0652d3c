//! Training: every hot operation is one node of the graph. Forward it is what the backend itself has for it, and its gradient is
//! made of what [`DiffusionBackend`] has for gradients.
//!
//! Left to burn-autodiff, each of the many plain operations of a default body would be a node, with its own launches back and
//! its own tensors kept.

mod attention;
mod epilogue;
mod image;
mod node;
mod norm;
mod product;
mod tail;

use burn::tensor::{
    DType, Tensor, TensorData,
    backend::{AutodiffBackend, BackendTypes},
};
use burn_autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};

use crate::{
    AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, GroupNormOptions,
    Heads, LayerNormOptions, Weight, WeightRole,
};

impl<B: DiffusionBackend, C: CheckpointStrategy> DiffusionBackend for Autodiff<B, C> {
    fn upload_weight<const D: usize>(
        data: TensorData,
        role: WeightRole,
        dtype: DType,
        device: &<B as BackendTypes>::Device,
    ) -> Tensor<Self, D> {
        Tensor::from_inner(B::upload_weight(data, role, dtype, device))
    }

    fn fused_linear(
        input: Tensor<Self, 3>,
        weight: &Weight<Self, 2>,
        epilogue: Epilogue<Self, 3>,
    ) -> Tensor<Self, 3> {
        product::linear(input, weight, epilogue)
    }

    fn fused_conv2d(
        input: ConvInput<Self>,
        weight: &Weight<Self, 4>,
        options: Conv2dOptions,
        epilogue: Epilogue<Self, 4>,
    ) -> Tensor<Self, 4> {
        product::conv2d(input, weight, options, epilogue)
    }

    fn fused_attention(
        query: Heads<Self>,
        key: Heads<Self>,
        value: Heads<Self>,
        options: AttentionOptions<Self>,
    ) -> Tensor<Self, 3> {
        attention::attention(query, key, value, options)
    }

    fn fused_group_norm(
        input: ConvInput<Self>,
        options: GroupNormOptions<Self>,
    ) -> Tensor<Self, 4> {
        norm::group_norm(input, options)
    }

    fn fused_layer_norm(
        input: Tensor<Self, 3>,
        options: LayerNormOptions<Self>,
    ) -> Tensor<Self, 3> {
        norm::layer_norm(input, options)
    }

    fn fused_epilogue(input: Tensor<Self, 3>, epilogue: Epilogue<Self, 3>) -> Tensor<Self, 3> {
        epilogue::epilogue(input, epilogue)
    }
}

/// What training needs: a backend that differentiates over one with the operations. Every `Autodiff<B>` is one.
pub trait TrainBackend: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend> {}

impl<B: DiffusionBackend + AutodiffBackend<InnerBackend: DiffusionBackend>> TrainBackend for B {}
