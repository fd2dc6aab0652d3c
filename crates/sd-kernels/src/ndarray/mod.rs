//! The CPU backend's own bodies: tensors as slices for the kernels of [`cpu`](crate::cpu).
//!
//! They work on f32; a tensor of f64 takes the default body.

mod attention;
mod buffer;
mod epilogue;
mod norm;
mod product;

use burn_ndarray::{
    FloatNdArrayElement, IntNdArrayElement, NdArray, NdArrayTensor, QuantElement, SharedArray,
};

use burn::tensor::{DType, Tensor};

use crate::{
    AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, GroupNormOptions,
    Heads, LayerNormOptions, Weight, WeightRole, default,
};

impl<E, I, Q> DiffusionBackend for NdArray<E, I, Q>
where
    E: FloatNdArrayElement,
    I: IntNdArrayElement,
    Q: QuantElement,
    NdArrayTensor: From<SharedArray<E>> + From<SharedArray<I>>,
{
    fn pack_weight<const D: usize>(weight: Tensor<Self, D>, role: WeightRole) -> Weight<Self, D> {
        match (role, weight.dtype()) {
            (WeightRole::Linear | WeightRole::Conv2d, DType::F32) => product::pack(weight),
            _ => Weight::Dense(weight),
        }
    }

    fn fused_linear(
        input: Tensor<Self, 3>,
        weight: &Weight<Self, 2>,
        epilogue: Epilogue<Self, 3>,
    ) -> Tensor<Self, 3> {
        match input.dtype() {
            DType::F32 => product::linear(input, weight, epilogue),
            _ => default::linear(input, weight, epilogue),
        }
    }

    fn fused_conv2d(
        input: ConvInput<Self>,
        weight: &Weight<Self, 4>,
        options: Conv2dOptions,
        epilogue: Epilogue<Self, 4>,
    ) -> Tensor<Self, 4> {
        match input.dtype() {
            DType::F32 => product::conv2d(input, weight, options, epilogue),
            _ => default::conv2d(input, weight, options, epilogue),
        }
    }

    fn fused_attention(
        query: Heads<Self>,
        key: Heads<Self>,
        value: Heads<Self>,
        options: AttentionOptions<Self>,
    ) -> Tensor<Self, 3> {
        match query.projection.dtype() {
            DType::F32 => attention::attention(query, key, value, options),
            _ => default::attention(query, key, value, options),
        }
    }

    fn fused_group_norm(
        input: ConvInput<Self>,
        options: GroupNormOptions<Self>,
    ) -> Tensor<Self, 4> {
        match input.dtype() {
            DType::F32 => norm::group_norm(input, options),
            _ => default::group_norm(input, options),
        }
    }

    fn fused_layer_norm(
        input: Tensor<Self, 3>,
        options: LayerNormOptions<Self>,
    ) -> Tensor<Self, 3> {
        match input.dtype() {
            DType::F32 => norm::layer_norm(input, options),
            _ => default::layer_norm(input, options),
        }
    }

    fn fused_epilogue(input: Tensor<Self, 3>, epilogue: Epilogue<Self, 3>) -> Tensor<Self, 3> {
        match input.dtype() {
            DType::F32 => epilogue::epilogue(input, epilogue),
            _ => default::epilogue(input, epilogue),
        }
    }
}
