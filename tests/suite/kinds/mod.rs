//! Runs that start from more than noise, against diffusers: pictures by SD 1.x, the depth model and the upscaler.

mod case;
#[cfg(feature = "ndarray")]
mod refusals;

use burn::tensor::backend::BackendTypes;
use case::{CASES, KindCase, repository};
use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline,
    sd_schedulers::{Scheduler, SchedulerConfig},
};

use crate::common::relative_l2;

fn load<B: DiffusionBackend>(name: &str, device: &<B as BackendTypes>::Device) -> Pipeline<B> {
    let options = LoadOptions::<B>::default().device(device.clone());
    Pipeline::from_pretrained(repository(name).path(), &options).unwrap()
}

/// Runs all cases: relative L2 of the final latents at most `latents`, bytes of images at most `byte` apart.
fn check_all<B: DiffusionBackend>(device: &<B as BackendTypes>::Device, latents: f64, byte: u8) {
    for name in CASES {
        let case = KindCase::load(name);
        let scheduler: Box<dyn Scheduler> =
            SchedulerConfig::from_json(&case.scheduler()).unwrap().build().unwrap();
        let pipeline = load::<B>(&case.model, device).with_scheduler(scheduler);
        let request = case.request();
        let mut run = pipeline.run(&request).unwrap();
        let found = run.finish_latents().unwrap();
        let reference = case.tensors();
        let (shape, expected) = reference.f32("output.latents");
        assert_eq!(found.shape(), shape[..], "{name}");
        let error = relative_l2(found.values(), &expected);
        println!("{name:<24} latents {error:.2e}");
        assert!(error <= latents, "{name}: latents differ by {error:.2e}");
        if !reference.names().iter().any(|name| name == "output.image_u8") {
            continue;
        }
        let images = run.finish().unwrap();
        let found = images.iter().flat_map(|image| image.as_raw().iter().copied());
        let (_, expected) = reference.u8("output.image_u8");
        assert_eq!(found.clone().count(), expected.len());
        let worst = found.zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(worst <= byte, "{name}: a byte differs by {worst}");
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn pictures_depth_and_upscaler_are_those_of_diffusers() {
    check_all::<sd_core::backend::Cpu>(&Default::default(), 1e-4, 2);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_pictures_depth_and_upscaler_are_those_of_diffusers() {
    match sd_core::backend::wgpu_available() {
        Ok(()) => check_all::<sd_core::backend::Wgpu>(&Default::default(), 1e-3, 3),
        Err(error) => crate::common::skip("wgpu", &error),
    }
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_pictures_depth_and_upscaler_are_those_of_diffusers() {
    match sd_core::backend::cuda_available() {
        Ok(()) => check_all::<sd_core::backend::Cuda>(&Default::default(), 1e-2, 8),
        Err(error) => crate::common::skip("cuda", &error),
    }
}
