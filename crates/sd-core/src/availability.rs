//! Whether a backend works on this machine, found out before Burn panics about it.

use thiserror::Error;

/// Why a backend cannot be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No NVIDIA driver.
    #[error("no NVIDIA driver (libcuda) on this machine")]
    CudaDriver,
    /// A driver without a GPU.
    #[error("the NVIDIA driver finds no GPU")]
    CudaDevice,
    /// No run-time compiler.
    #[error("no CUDA run-time compiler (libnvrtc) on this machine, install the CUDA toolkit")]
    CudaCompiler,
    /// No headers, which the run-time compiler needs.
    #[error(
        "no CUDA headers: neither CUDA_PATH nor /usr/local/cuda leads to them, install the CUDA toolkit"
    )]
    CudaHeaders,
    /// No adapter.
    #[error("wgpu finds no graphics adapter on this machine")]
    WgpuAdapter,
}

/// Whether CUDA works: driver, GPU, run-time compiler and headers.
///
/// # Errors
/// What is missing.
#[cfg(feature = "cuda")]
pub fn cuda_available() -> Result<(), Unavailable> {
    // SAFETY: the functions only try to open a shared library by its well-known names.
    let (driver, compiler) = unsafe {
        (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present())
    };
    if !driver {
        return Err(Unavailable::CudaDriver);
    }
    match cudarc::driver::CudaContext::device_count() {
        Ok(count) if count > 0 => {}
        _ => return Err(Unavailable::CudaDevice),
    }
    if !compiler {
        return Err(Unavailable::CudaCompiler);
    }
    let path = cubecl::cuda::install::cuda_path().ok_or(Unavailable::CudaHeaders)?;
    match path.join("include").is_dir() {
        true => Ok(()),
        false => Err(Unavailable::CudaHeaders),
    }
}

/// Whether wgpu finds an adapter. Honours `WGPU_BACKEND`.
///
/// # Errors
/// When it does not.
#[cfg(feature = "wgpu")]
pub fn wgpu_available() -> Result<(), Unavailable> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    match adapters.is_empty() {
        true => Err(Unavailable::WgpuAdapter),
        false => Ok(()),
    }
}
