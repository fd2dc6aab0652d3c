//! Burn's CubeCL backends: kernels of the project's own around Burn's matrix product.
//!
//! CubeCL 0.10 decides how many neighbouring elements to read at once by the smallest stride alone
//! (`tensor_vector_size_parallel`), so once a window of a larger tensor is split or permuted, which attention does, wrong
//! elements are read; and its matrix product refuses some permuted operands. The bodies are therefore given row-major
//! tensors. Those of a model are row-major, and nothing is copied.
//!
//! The kernels are functions of a runtime's tensors, a file for each operation, [`ops`] puts them together. All of them
//! compute in f32 and add up in a fixed order, and what they give is dense.

mod activation;
mod attention;
mod columns;
mod convolution;
mod epilogue;
mod gradients;
mod group_norm;
mod layer_norm;
mod ops;
mod reduce;
mod row;
mod rows;
mod softmax;
mod sum;
#[cfg(all(test, feature = "wgpu", feature = "testing"))]
mod tests;

use burn::tensor::Tensor;
use burn_cubecl::{BoolElement, CubeBackend, FloatElement, IntElement};

use crate::{
    Activation, AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, Gate,
    GroupNormOptions, Heads, LayerNormOptions, NormGradients, Weight,
};

#[cfg(feature = "cuda")]
pub(crate) use {
    ops::{primitive, tensor},
    rows::{empty_like, pitch, row_major},
    softmax::{Seen, forward as softmax},
};

/// The bodies in whose place a runtime may have its own.
pub(crate) mod bodies {
    pub(crate) use super::{
        attention::forward as attention,
        ops::{conv2d, group_norm, layer_norm, linear},
    };
}

/// Implements the trait for one runtime, some operations by the functions of a module.
macro_rules! cube_backend {
    ($runtime:ty, $bodies:ident) => {
        impl<F: FloatElement, I: IntElement, BT: BoolElement> DiffusionBackend
            for CubeBackend<$runtime, F, I, BT>
        {
            fn fused_linear(
                input: Tensor<Self, 3>,
                weight: &Weight<Self, 2>,
                epilogue: Epilogue<Self, 3>,
            ) -> Tensor<Self, 3> {
                $bodies::linear(input, weight, epilogue)
            }

            fn fused_conv2d(
                input: ConvInput<Self>,
                weight: &Weight<Self, 4>,
                options: Conv2dOptions,
                epilogue: Epilogue<Self, 4>,
            ) -> Tensor<Self, 4> {
                $bodies::conv2d(input, weight, options, epilogue)
            }

            fn fused_attention(
                query: Heads<Self>,
                key: Heads<Self>,
                value: Heads<Self>,
                options: AttentionOptions<Self>,
            ) -> Tensor<Self, 3> {
                $bodies::attention(query, key, value, options)
            }

            fn fused_group_norm(
                input: ConvInput<Self>,
                options: GroupNormOptions<Self>,
            ) -> Tensor<Self, 4> {
                $bodies::group_norm(input, options)
            }

            fn fused_layer_norm(
                input: Tensor<Self, 3>,
                options: LayerNormOptions<Self>,
            ) -> Tensor<Self, 3> {
                $bodies::layer_norm(input, options)
            }

            fn fused_epilogue(
                input: Tensor<Self, 3>,
                epilogue: Epilogue<Self, 3>,
            ) -> Tensor<Self, 3> {
                ops::epilogue::<Self, $runtime>(input, epilogue)
            }

            fn columns(
                input: ConvInput<Self>,
                kernel: [usize; 2],
                options: Conv2dOptions,
            ) -> Tensor<Self, 3> {
                gradients::columns::<Self, $runtime>(input, kernel, options)
            }

            fn spread(
                gradient: Tensor<Self, 4>,
                kernel: [usize; 2],
                options: Conv2dOptions,
                image: [usize; 2],
            ) -> Tensor<Self, 3> {
                gradients::spread::<Self, $runtime>(gradient, kernel, options, image)
            }

            fn sum_positions(input: Tensor<Self, 3>) -> Tensor<Self, 2> {
                gradients::sum_positions::<Self, $runtime>(input)
            }

            fn row(
                values: Vec<(usize, Tensor<Self, 1>)>,
                length: usize,
                device: &Self::Device,
            ) -> Tensor<Self, 1> {
                gradients::row::<Self, $runtime>(values, length, device)
            }

            fn attention_backward(
                query: Heads<Self>,
                key: Heads<Self>,
                value: Heads<Self>,
                options: AttentionOptions<Self>,
                gradient: Tensor<Self, 3>,
            ) -> [Tensor<Self, 3>; 3] {
                attention::backward::<Self, $runtime>(query, key, value, options, gradient)
            }

            fn group_norm_backward(
                input: Tensor<Self, 4>,
                options: GroupNormOptions<Self>,
                gradient: Tensor<Self, 4>,
            ) -> NormGradients<Self, 4> {
                gradients::group_norm::<Self, $runtime>(input, options, gradient)
            }

            fn layer_norm_backward(
                input: Tensor<Self, 3>,
                options: LayerNormOptions<Self>,
                gradient: Tensor<Self, 3>,
            ) -> NormGradients<Self, 3> {
                gradients::layer_norm::<Self, $runtime>(input, options, gradient)
            }

            fn activation_backward(
                input: Tensor<Self, 3>,
                activation: Option<Activation>,
                gate: Gate,
                gradient: Tensor<Self, 3>,
            ) -> Tensor<Self, 3> {
                gradients::activation::<Self, $runtime>(input, activation, gate, gradient)
            }
        }
    };
}

#[cfg(feature = "wgpu")]
cube_backend!(burn_wgpu::WgpuRuntime, bodies);

#[cfg(feature = "cuda")]
use crate::cuda;
#[cfg(feature = "cuda")]
cube_backend!(cubecl::cuda::CudaRuntime, cuda);
