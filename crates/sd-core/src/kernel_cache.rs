//! Compiled CUDA kernels, kept from one process to the next.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig, cache::CacheConfig};
use cudarc::driver::{
    result::{self, device},
    sys::CUdevice_attribute as Attribute,
};
use thiserror::Error;

/// Why compiled kernels are not kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelCacheError {
    /// Something has used CubeCL, whose configuration is fixed from then on.
    #[error("compiled kernels can only be kept if that is said before anything uses a GPU")]
    TooLate,
    /// The directory cannot be made.
    #[error("{}: compiled kernels cannot be kept there: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Has compiled CUDA kernels kept below `directory`, so that the next process starts in seconds. It changes CubeCL's configuration for
/// the whole process, hence it is for programs to call, first of all; where a `cubecl.toml` names a cache, that stays.
///
/// Kernels are kept apart by program, driver and kind of GPU; the directory may be deleted at any time. Without a GPU, or with
/// GPUs of several kinds, nothing is kept.
///
/// # Errors
/// When something has used a GPU, or the directory cannot be made.
pub fn cache_kernels(directory: &Path) -> Result<(), KernelCacheError> {
    if CubeClRuntimeConfig::storage().lock().is_some() {
        return Err(KernelCacheError::TooLate);
    }
    let Some(name) = subdirectory() else {
        return Ok(());
    };
    let path = directory.join(name);
    fs::create_dir_all(&path)
        .map_err(|source| KernelCacheError::Directory { path: path.clone(), source })?;
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache.get_or_insert(CacheConfig::File(path));
    CubeClRuntimeConfig::set(config);
    Ok(())
}

/// What kernels depend on: this program (another build may have other kernels by the same names), the driver, and the GPU.
fn subdirectory() -> Option<String> {
    let program = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let mut hasher = DefaultHasher::new();
    (program.len(), program.modified().ok()?).hash(&mut hasher);
    let (major, minor) = capability()?;
    // SAFETY: the driver writes an integer.
    let driver = unsafe {
        let mut version = 0;
        cudarc::driver::sys::cuDriverGetVersion(&mut version).result().ok()?;
        version
    };
    let (version, program) = (env!("CARGO_PKG_VERSION"), hasher.finish());
    Some(format!("{version}-{program:016x}-sm{major}{minor}-{driver}"))
}

/// The compute capability of all GPUs, if it is one.
fn capability() -> Option<(i32, i32)> {
    result::init().ok()?;
    let of = |ordinal| {
        let device = device::get(ordinal).ok()?;
        // SAFETY: `device` is one that the driver has just named.
        let attribute = |name| unsafe { device::get_attribute(device, name) }.ok();
        Some((
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ))
    };
    let first = of(0)?;
    (1..device::get_count().ok()?).all(|ordinal| of(ordinal) == Some(first)).then_some(first)
}
