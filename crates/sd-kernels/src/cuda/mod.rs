//! NVIDIA GPUs: kernels in CUDA C++, compiled by NVRTC when they are first used, as Burn compiles its own, and launched on Burn's stream
//! and memory.
//!
//! They take 16-bit tensors on GPUs of compute capability 9.0, whose tensor cores read shared memory by themselves and whose copy
//! engine fills it: products with weights and convolutions ([`matmul`]), attention, and norms. What they do not take goes to the
//! bodies of `cube`.
//!
//! - [`raw`] makes a CubeCL task of a source.
//! - [`instructions`] writes the one instruction that C++ has no name for.
//! - [`tensor_map`] describes tensors to the copy engine.

mod attention;
mod convolution;
mod group_norm;
mod instructions;
mod layer_norm;
mod linear;
mod matmul;
mod raw;
mod tail;
mod tensor_map;
mod tiles;

pub(crate) use attention::forward as attention;
pub(crate) use convolution::forward as conv2d;
pub(crate) use group_norm::forward as group_norm;
pub(crate) use layer_norm::forward as layer_norm;
pub(crate) use linear::forward as linear;

use std::sync::OnceLock;

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::{CudaDevice, CudaRuntime};
use cudarc::driver::{result::device, sys::CUdevice_attribute};

type Primitive = CubeTensor<CudaRuntime>;

/// Devices beyond these are asked each time.
const DEVICES: usize = 16;

/// Major and minor compute capability, or zeros where the driver does not tell.
fn capability(of: &CudaDevice) -> (i32, i32) {
    static KNOWN: [OnceLock<(i32, i32)>; DEVICES] = [const { OnceLock::new() }; DEVICES];
    let ask = || {
        let device = device::get(of.index as i32).ok()?;
        let attribute = |name| {
            // SAFETY: `device` is a device that the driver has just named.
            unsafe { device::get_attribute(device, name) }.ok()
        };
        Some((
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ))
    };
    let known = || ask().unwrap_or_default();
    KNOWN.get(of.index).map_or_else(known, |cell| *cell.get_or_init(known))
}

/// Whether there are kernels for this GPU and type. `SD_CUDA_KERNELS=0` in the environment keeps them out.
fn takes(tensor: &Primitive) -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    let wanted = || std::env::var_os("SD_CUDA_KERNELS").is_none_or(|value| value != "0");
    *WANTED.get_or_init(wanted)
        && matches!(tensor.dtype, DType::F16 | DType::BF16)
        && capability(&tensor.device) == (9, 0)
}
