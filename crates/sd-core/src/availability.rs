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

/// Whether wgpu finds an adapter, be it one that computes on the CPU.
///
/// # Errors
/// When it does not.
#[cfg(feature = "wgpu")]
pub fn wgpu_available() -> Result<(), Unavailable> {
    wgpu_adapter().map(drop)
}

/// Whether the adapter that wgpu takes is a GPU; software adapters are slower than the `ndarray` backend.
#[cfg(feature = "wgpu")]
pub fn wgpu_is_gpu() -> bool {
    wgpu_adapter().is_ok_and(|kind| kind != wgpu::DeviceType::Cpu)
}

/// The adapter that CubeCL 0.10 takes for the default device: it asks one graphics interface, and panics without one.
#[cfg(feature = "wgpu")]
fn wgpu_adapter() -> Result<wgpu::DeviceType, Unavailable> {
    let backends = match cfg!(target_os = "macos") {
        true => wgpu::Backends::METAL,
        false => wgpu::Backends::VULKAN,
    };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = pollster::block_on(instance.request_adapter(&options));
    adapter.map(|adapter| adapter.get_info().device_type).map_err(|_| Unavailable::WgpuAdapter)
}
