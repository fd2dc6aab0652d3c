//! The bodies that every backend has: plain Burn operations, right in every dtype.
//!
//! 16-bit tensors are widened to f32 around everything that is not a matrix product. The bodies avoid what is wrong in
//! stock Burn 0.21: `conv2d` with bias in f16 on CUDA, `nn::GroupNorm` in f16 (overflow), `abs`/`recip` on shared permuted
//! NdArray tensors (and `recip` is of 14 bits there on some CPUs), `gelu`, whose gradient is that of the tanh form, `pad`,
//! whose zeros are of the device's default dtype, and `sigmoid` of f64, which is computed in f32.
//! `tests/kernels/sentinels.rs` says when a workaround can go.

mod activation;
mod attention;
mod elementwise;
pub mod gradients;
mod norm;
mod padding;
mod product;
mod row;
mod vectors;

use burn::tensor::{DType, Tensor, backend::Backend};

pub use activation::activate;
pub use attention::attention;
#[cfg(feature = "testing")]
pub(crate) use attention::attention_in_chunks;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) use attention::heads;
pub(crate) use elementwise::scaled;
pub use elementwise::{epilogue, linear_combination};
pub use norm::{group_norm, layer_norm, rms_norm};
use padding::padded;
pub use product::{conv2d, linear, materialise};
pub use row::row;

/// The dtype in which everything but matrix products is computed: f32, or f64 for f64 tensors.
pub(crate) fn compute_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Widens to the compute dtype; free when the tensor has it already.
pub(crate) fn widen<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Tensor<B, D> {
    let dtype = compute_dtype(tensor.dtype());
    tensor.cast(dtype)
}

/// Tensors one after the other along an axis; at least one.
pub(crate) fn joined<B: Backend>(mut parts: Vec<Tensor<B, 4>>, axis: usize) -> Tensor<B, 4> {
    match parts.len() {
        1 => parts.remove(0),
        _ => Tensor::cat(parts, axis),
    }
}
