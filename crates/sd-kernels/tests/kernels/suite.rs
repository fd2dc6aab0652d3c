//! Every backend of the workspace, held against the f64 reference.

use burn::tensor::DType;
use sd_kernels::{
    DiffusionBackend,
    testing::{Report, Scale, Tolerances, groups},
};

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::nodes;

/// Runs the suite and says which groups failed.
fn hold<B: DiffusionBackend>(
    device: &B::Device,
    dtype: DType,
    tolerances: Tolerances,
    scale: Scale,
) {
    let failed: Vec<String> = groups::<B>()
        .into_iter()
        .map(|(name, check)| (name, check(device, dtype, &tolerances, scale)))
        .filter(|(_, report): &(_, Report)| report.checks == 0 || !report.failures.is_empty())
        .map(|(name, report)| format!("{name}: {report}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[cfg(feature = "ndarray")]
mod cpu {
    use burn_autodiff::{Autodiff, checkpoint::strategy::BalancedCheckpointing};
    use burn_ndarray::NdArray;

    use super::*;

    fn hold_cpu<B: DiffusionBackend>(dtype: DType)
    where
        B::Device: Default,
    {
        hold::<B>(&Default::default(), dtype, Tolerances::of(dtype), Scale::Full);
    }

    #[test]
    fn ndarray_f32() {
        hold_cpu::<NdArray<f32>>(DType::F32);
    }

    #[test]
    fn ndarray_f64() {
        hold_cpu::<NdArray<f64>>(DType::F64);
    }

    /// A backend whose default element is f64, given tensors of f32.
    #[test]
    fn ndarray_mixed() {
        hold::<NdArray<f64>>(
            &Default::default(),
            DType::F32,
            Tolerances::of(DType::F32),
            Scale::Small,
        );
    }

    #[test]
    fn default_bodies_f32() {
        hold_cpu::<sd_kernels::testing::Plain>(DType::F32);
    }

    /// The backend's own bodies, as nodes of a graph.
    #[test]
    fn autodiff_f32() {
        hold_cpu::<Autodiff<NdArray<f32>>>(DType::F32);
    }

    #[test]
    fn autodiff_f64() {
        hold::<Autodiff<NdArray<f64>, BalancedCheckpointing>>(
            &Default::default(),
            DType::F64,
            Tolerances::of(DType::F64),
            Scale::Small,
        );
    }
}

/// Says why a backend's test does not run, or fails where it has to: `SD_TEST_REQUIRE` names backends, as in `wgpu,cuda`.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn skip(backend: &str, why: &str) {
    let required = std::env::var("SD_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "{backend} is required: {why}");
    eprintln!("skipped: {why} on this machine");
}

#[cfg(feature = "wgpu")]
mod gpu_wgpu {
    use burn_cubecl::CubeBackend;
    use burn_wgpu::{WgpuDevice, WgpuRuntime};

    use super::*;

    type Wgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

    fn on_wgpu(dtype: DType, run: impl FnOnce(&WgpuDevice)) {
        // Without an adapter the runtime panics when it is first asked for anything.
        let supports = std::panic::catch_unwind(|| {
            <Wgpu as burn::tensor::backend::Backend>::supports_dtype(
                &WgpuDevice::DefaultDevice,
                dtype,
            )
        });
        match supports {
            Err(_) => skip("wgpu", "no adapter"),
            Ok(false) => eprintln!("skipped: the wgpu adapter has no {dtype:?}"),
            Ok(true) => run(&WgpuDevice::DefaultDevice),
        }
    }

    fn hold_wgpu(dtype: DType, tolerances: Tolerances) {
        on_wgpu(dtype, |device| hold::<Wgpu>(device, dtype, tolerances, Scale::Small));
    }

    #[test]
    fn wgpu_f32() {
        let tolerances = Tolerances::of(DType::F32);
        hold_wgpu(DType::F32, Tolerances { product: 1e-4, norm: 1e-4, ..tolerances });
    }

    #[test]
    fn wgpu_f16() {
        hold_wgpu(DType::F16, Tolerances::of(DType::F16));
    }

    #[test]
    fn wgpu_gradients() {
        on_wgpu(DType::F32, |device| nodes::hold::<Wgpu>(device, 1e-4));
    }
}

#[cfg(feature = "cuda")]
mod gpu_cuda {
    use burn_cubecl::CubeBackend;
    use burn_cuda::CudaDevice;
    use cubecl::cuda::CudaRuntime;

    use super::*;

    type Cuda = CubeBackend<CudaRuntime, f32, i32, u8>;

    fn on_cuda(run: impl FnOnce(&CudaDevice)) {
        let has_driver = ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"]
            .iter()
            .any(|path| std::path::Path::new(path).exists());
        if has_driver {
            run(&CudaDevice::default());
        } else {
            skip("cuda", "no NVIDIA driver");
        }
    }

    fn hold_cuda(dtype: DType, tolerances: Tolerances) {
        on_cuda(|device| hold::<Cuda>(device, dtype, tolerances, Scale::Full));
    }

    #[test]
    fn cuda_gradients() {
        // Products are of TF32.
        on_cuda(|device| nodes::hold::<Cuda>(device, 5e-3));
    }

    #[test]
    fn cuda_f32() {
        hold_cuda(DType::F32, Tolerances::tf32());
    }

    #[test]
    fn cuda_f16() {
        hold_cuda(DType::F16, Tolerances::of(DType::F16));
    }

    #[test]
    fn cuda_bf16() {
        hold_cuda(DType::BF16, Tolerances::of(DType::BF16));
    }
}
