//! Burn's CubeCL backends: the default bodies, on tensors whose memory CubeCL reads right.
//!
//! CubeCL 0.10 decides how many neighbouring elements to read at once by the smallest stride alone
//! (`tensor_vector_size_parallel`), so once a window of a larger tensor is split or permuted, which convolution and attention
//! do, wrong elements are read; and its matrix product refuses some permuted operands. The bodies are therefore given
//! row-major tensors. Those of a model are row-major, and nothing is copied.

use burn::tensor::{Tensor, TensorPrimitive};
use burn_cubecl::{
    BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement,
    cubecl::std::tensor::is_contiguous_pitched, kernel::into_contiguous,
};

use crate::{
    AttentionMask, AttentionOptions, Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, Heads,
    Weight, default,
};

/// Implements the trait for one runtime.
macro_rules! cube_backend {
    ($runtime:ty) => {
        impl<F: FloatElement, I: IntElement, BT: BoolElement> DiffusionBackend
            for CubeBackend<$runtime, F, I, BT>
        {
            fn fused_conv2d(
                input: ConvInput<Self>,
                weight: &Weight<Self, 4>,
                options: Conv2dOptions,
                epilogue: Epilogue<Self, 4>,
            ) -> Tensor<Self, 4> {
                let input = ConvInput {
                    first: row_major(input.first),
                    second: input.second.map(row_major),
                    upsample: input.upsample,
                };
                let weight = Weight::Dense(row_major(weight.to_dense(&input.device())));
                default::conv2d(input, &weight, options, epilogue)
            }

            fn fused_attention(
                query: Heads<Self>,
                key: Heads<Self>,
                value: Heads<Self>,
                options: AttentionOptions<Self>,
            ) -> Tensor<Self, 3> {
                let [query, key, value] = [query, key, value].map(|view| Heads {
                    projection: row_major(view.projection),
                    offset: view.offset,
                });
                let mask = match options.mask {
                    AttentionMask::Additive(mask) => AttentionMask::Additive(row_major(mask)),
                    mask => mask,
                };
                default::attention(query, key, value, AttentionOptions { mask, ..options })
            }
        }
    };
}

#[cfg(feature = "wgpu")]
cube_backend!(burn_wgpu::WgpuRuntime);

#[cfg(feature = "cuda")]
cube_backend!(cubecl::cuda::CudaRuntime);

/// The same values in row-major order; rows may be padded, as CubeCL's uploads are.
fn row_major<R, F, I, BT, const D: usize>(
    tensor: Tensor<CubeBackend<R, F, I, BT>, D>,
) -> Tensor<CubeBackend<R, F, I, BT>, D>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    let tensor = tensor.into_primitive().tensor();
    let tensor = match is_contiguous_pitched(tensor.meta.shape(), tensor.meta.strides()) {
        true => tensor,
        false => into_contiguous(tensor),
    };
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}
