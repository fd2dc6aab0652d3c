//! Runs that start from more than noise, against diffusers: pictures by SD 1.x, the depth model and the upscaler.

mod case;
#[cfg(feature = "ndarray")]
mod refusals;

use burn::tensor::backend::BackendTypes;
use case::{KindCase, repository};
use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline,
    sd_schedulers::{Scheduler, SchedulerConfig},
};

use crate::common::{Tolerance, compare};

fn load<B: DiffusionBackend>(name: &str, device: &<B as BackendTypes>::Device) -> Pipeline<B> {
    let options = LoadOptions::<B>::default().device(device.clone());
    Pipeline::from_pretrained(repository(name).path(), &options).unwrap()
}

/// Makes runs, and reports all that fail.
fn check<B: DiffusionBackend>(
    names: &[&str],
    device: &<B as BackendTypes>::Device,
    tolerance: Tolerance,
) {
    let failures = names.iter().filter_map(|name| {
        let case = KindCase::load(name);
        let scheduler: Box<dyn Scheduler> =
            SchedulerConfig::from_json(&case.scheduler()).unwrap().build().unwrap();
        let pipeline = load::<B>(&case.model, device).with_scheduler(scheduler);
        let run = pipeline.run(&case.request()).unwrap();
        compare(name, run, &case.tensors(), tolerance)
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "ndarray")]
#[test]
fn pictures_depth_and_upscaler_are_those_of_diffusers() {
    let tolerance = Tolerance { latents: 1e-4, byte: 2 };
    check::<sd_core::backend::Cpu>(&case::CASES, &Default::default(), tolerance);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_pictures_depth_and_upscaler_are_those_of_diffusers() {
    match sd_core::backend::wgpu_available() {
        Ok(()) => {
            // One of each kind: each run takes seconds on a GPU that the CPU plays.
            let names = ["depth", "upscaler"];
            let tolerance = Tolerance { latents: 1e-3, byte: 3 };
            check::<sd_core::backend::Wgpu>(&names, &Default::default(), tolerance);
        }
        Err(error) => crate::common::skip("wgpu", &error),
    }
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_pictures_depth_and_upscaler_are_those_of_diffusers() {
    match sd_core::backend::cuda_available() {
        Ok(()) => {
            let tolerance = Tolerance { latents: 1e-2, byte: 8 };
            check::<sd_core::backend::Cuda>(&case::CASES, &Default::default(), tolerance);
        }
        Err(error) => crate::common::skip("cuda", &error),
    }
}
