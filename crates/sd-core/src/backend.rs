//! The backends, by name.
//!
//! Each name stands for one fixed type, whatever other features are on; features only add names. None of them is wrapped
//! in Burn's `Fusion` (ARCHITECTURE.md, decision 3).

/// The CPU: Burn's NdArray with this project's own kernels. Computes in f32.
#[cfg(feature = "ndarray")]
pub type Cpu = burn_ndarray::NdArray<f32>;

/// Any GPU that wgpu reaches: WGSL, or SPIR-V with feature `vulkan`.
#[cfg(feature = "wgpu")]
pub type Wgpu = burn_cubecl::CubeBackend<burn_wgpu::WgpuRuntime, f32, i32, u32>;

/// NVIDIA GPUs through CUDA.
#[cfg(feature = "cuda")]
pub type Cuda = burn_cubecl::CubeBackend<cubecl::cuda::CudaRuntime, f32, i32, u8>;

/// The fastest backend that is compiled in. For examples and binaries; a library stays generic.
#[cfg(feature = "cuda")]
pub type DefaultBackend = Cuda;

/// The fastest backend that is compiled in. For examples and binaries; a library stays generic.
#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
pub type DefaultBackend = Wgpu;

/// The fastest backend that is compiled in. For examples and binaries; a library stays generic.
#[cfg(all(feature = "ndarray", not(feature = "wgpu"), not(feature = "cuda")))]
pub type DefaultBackend = Cpu;

pub use crate::availability::Unavailable;
#[cfg(feature = "wgpu")]
pub use crate::availability::{wgpu_available, wgpu_is_gpu};
#[cfg(feature = "cuda")]
pub use crate::{
    availability::cuda_available,
    kernel_cache::{KernelCacheError, cache_kernels},
};
