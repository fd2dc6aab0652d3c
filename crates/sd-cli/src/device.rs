//! Choosing among the backends that are compiled in.

use sd_core::{DiffusionBackend, Precision};

use crate::{arguments::DeviceKind, error::CliError};

/// Work that any backend can do.
pub(crate) trait Job {
    /// Does it.
    fn run<B: DiffusionBackend>(self, device: B::Device, dtype: Precision) -> Result<(), CliError>;
}

/// Runs a job on the device asked for.
pub(crate) fn dispatch(kind: DeviceKind, dtype: Precision, job: impl Job) -> Result<(), CliError> {
    match choose(kind)? {
        #[cfg(feature = "ndarray")]
        DeviceKind::Cpu => job.run::<sd_core::backend::Cpu>(Default::default(), dtype),
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda => job.run::<sd_core::backend::Cuda>(Default::default(), dtype),
        #[cfg(feature = "wgpu")]
        DeviceKind::Wgpu => job.run::<sd_core::backend::Wgpu>(Default::default(), dtype),
        other => Err(not_compiled(other)),
    }
}

/// What `auto` stands for, or whether the device asked for is there.
pub(crate) fn choose(kind: DeviceKind) -> Result<DeviceKind, CliError> {
    match kind {
        DeviceKind::Cpu if cfg!(feature = "ndarray") => Ok(kind),
        DeviceKind::Cuda if cfg!(feature = "cuda") => cuda_present().map(|()| kind),
        DeviceKind::Wgpu if cfg!(feature = "wgpu") => wgpu_present().map(|()| kind),
        DeviceKind::Auto => [DeviceKind::Cuda, DeviceKind::Wgpu, DeviceKind::Cpu]
            .into_iter()
            .find(|kind| choose(*kind).is_ok() && (*kind != DeviceKind::Wgpu || wgpu_is_gpu()))
            .ok_or_else(|| CliError::new("no backend that is compiled in works on this machine")),
        other => Err(not_compiled(other)),
    }
}

fn not_compiled(kind: DeviceKind) -> CliError {
    let feature = match kind {
        DeviceKind::Cuda => "cuda",
        DeviceKind::Wgpu => "wgpu",
        _ => "ndarray",
    };
    CliError::new(format!(
        "this build has no backend for that device, build it with `--features {feature}`"
    ))
}

/// Before anything uses a GPU: compiled kernels are kept in the user's cache.
pub(crate) fn keep_kernels() {
    #[cfg(feature = "cuda")]
    if let Some(cache) = dirs::cache_dir()
        && sd_core::backend::cuda_available().is_ok()
        && let Err(error) = sd_core::backend::cache_kernels(&cache.join("stable-diffusion-burn"))
    {
        tracing::warn!("{error}");
    }
}

#[cfg(feature = "cuda")]
fn cuda_present() -> Result<(), CliError> {
    Ok(sd_core::backend::cuda_available()?)
}

#[cfg(not(feature = "cuda"))]
fn cuda_present() -> Result<(), CliError> {
    Err(not_compiled(DeviceKind::Cuda))
}

#[cfg(feature = "wgpu")]
fn wgpu_present() -> Result<(), CliError> {
    Ok(sd_core::backend::wgpu_available()?)
}

#[cfg(feature = "wgpu")]
fn wgpu_is_gpu() -> bool {
    sd_core::backend::wgpu_is_gpu()
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_is_gpu() -> bool {
    false
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_present() -> Result<(), CliError> {
    Err(not_compiled(DeviceKind::Wgpu))
}
