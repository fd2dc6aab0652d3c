//! Burn's CubeCL backends: kernels of the project's own around Burn's matrix product.
//!
//! CubeCL 0.10 decides how many neighbouring elements to read at once by the smallest stride alone
//! (`tensor_vector_size_parallel`), so once a window of a larger tensor is split or permuted, which attention does, wrong
//! elements are read; and its matrix product refuses some permuted operands. The bodies are therefore given row-major
//! tensors. Those of a model are row-major, and nothing is copied.
//!
//! The kernels are functions of a runtime's tensors, a file for each operation, [`ops`] puts them together. All of them
//! compute in f32 and add up in a fixed order, and what they give is dense.
// Until training takes its gradients from here.
#![allow(dead_code, unused_imports)]

mod activation;
mod columns;
mod convolution;
mod epilogue;
mod group_norm;
mod layer_norm;
mod ops;
mod reduce;
mod rows;
mod softmax;
mod sum;
#[cfg(all(test, feature = "wgpu", feature = "testing"))]
mod tests;

use burn::tensor::Tensor;
use burn_cubecl::{BoolElement, CubeBackend, FloatElement, IntElement};

use crate::{
    AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, GroupNormOptions,
    Heads, LayerNormOptions, Weight,
};

/// Implements the trait for one runtime.
macro_rules! cube_backend {
    ($runtime:ty) => {
        impl<F: FloatElement, I: IntElement, BT: BoolElement> DiffusionBackend
            for CubeBackend<$runtime, F, I, BT>
        {
            fn fused_linear(
                input: Tensor<Self, 3>,
                weight: &Weight<Self, 2>,
                epilogue: Epilogue<Self, 3>,
            ) -> Tensor<Self, 3> {
                ops::linear::<Self, $runtime>(input, weight, epilogue)
            }

            fn fused_conv2d(
                input: ConvInput<Self>,
                weight: &Weight<Self, 4>,
                options: Conv2dOptions,
                epilogue: Epilogue<Self, 4>,
            ) -> Tensor<Self, 4> {
                ops::conv2d::<Self, $runtime>(input, weight, options, epilogue)
            }

            fn fused_attention(
                query: Heads<Self>,
                key: Heads<Self>,
                value: Heads<Self>,
                options: AttentionOptions<Self>,
            ) -> Tensor<Self, 3> {
                ops::attention::<Self, $runtime>(query, key, value, options)
            }

            fn fused_group_norm(
                input: ConvInput<Self>,
                options: GroupNormOptions<Self>,
            ) -> Tensor<Self, 4> {
                ops::group_norm::<Self, $runtime>(input, options)
            }

            fn fused_layer_norm(
                input: Tensor<Self, 3>,
                options: LayerNormOptions<Self>,
            ) -> Tensor<Self, 3> {
                ops::layer_norm::<Self, $runtime>(input, options)
            }

            fn fused_epilogue(
                input: Tensor<Self, 3>,
                epilogue: Epilogue<Self, 3>,
            ) -> Tensor<Self, 3> {
                ops::epilogue::<Self, $runtime>(input, epilogue)
            }
        }
    };
}

#[cfg(feature = "wgpu")]
cube_backend!(burn_wgpu::WgpuRuntime);

#[cfg(feature = "cuda")]
cube_backend!(cubecl::cuda::CudaRuntime);
