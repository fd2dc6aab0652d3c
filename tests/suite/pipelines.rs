//! Whole pipelines against diffusers: the same request makes the same latents and the same images.

use crate::common::{Case, fixture, relative_l2};
use burn::tensor::backend::BackendTypes;
use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline, Precision,
    sd_schedulers::{Scheduler, SchedulerConfig},
};

/// How far a backend may be from diffusers on the CPU (design: "Agreement with diffusers").
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// Relative L2 of the final latents.
    latents: f64,
    /// Difference of a byte of the image.
    byte: u8,
}

fn pipeline<B: DiffusionBackend>(
    model: &str,
    device: &<B as BackendTypes>::Device,
    precision: Precision,
) -> Pipeline<B> {
    let options = LoadOptions::<B>::default().device(device.clone()).dtypes(precision);
    Pipeline::from_pretrained(fixture(model), &options).unwrap()
}

/// The scheduler that diffusers resolved for a case.
fn scheduler(case: &Case) -> Box<dyn Scheduler> {
    let text = serde_json::to_string(&case.scheduler_config).unwrap();
    SchedulerConfig::from_json(&text).unwrap().build().unwrap()
}

fn check<B: DiffusionBackend>(
    case: &Case,
    pipeline: &Pipeline<B>,
    tolerance: Tolerance,
) -> Result<(), String> {
    let reference = case.tensors();
    let pipeline = pipeline.clone().with_scheduler(scheduler(case));
    let mut run = pipeline.run(&case.request()).map_err(|error| error.to_string())?;
    let latents = run.finish_latents().map_err(|error| error.to_string())?;
    let (shape, expected) = reference.f32("output.latents");
    if latents.shape() != shape[..] {
        return Err(format!("latents {:?}, expected {shape:?}", latents.shape()));
    }
    let error = relative_l2(latents.values(), &expected);
    println!("{:<24} latents {error:.2e}", case.name);
    if error.is_nan() || error > tolerance.latents {
        return Err(format!("latents differ by {error:.2e}, allowed {:.0e}", tolerance.latents));
    }
    if !reference.names().iter().any(|name| name == "output.image_u8") {
        return Ok(());
    }
    let images = run.finish().map_err(|error| error.to_string())?;
    let (shape, expected) = reference.u8("output.image_u8");
    assert_eq!(images.len(), shape[0]);
    let found: Vec<u8> = images.iter().flat_map(|image| image.as_raw().iter().copied()).collect();
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    match worst <= tolerance.byte {
        true => Ok(()),
        false => Err(format!("a byte of the image differs by {worst}, allowed {}", tolerance.byte)),
    }
}

/// Runs every case and reports all that fail.
fn check_all<B: DiffusionBackend>(
    device: <B as BackendTypes>::Device,
    precision: Precision,
    tolerance: Tolerance,
) {
    let models = ["tiny-sd1", "tiny-sd2"].map(|model| pipeline::<B>(model, &device, precision));
    let failures: Vec<String> = Case::all()
        .iter()
        .filter_map(|case| {
            let model = &models[usize::from(case.model == "tiny-sd2")];
            check(case, model, tolerance).err().map(|error| format!("{}: {error}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "ndarray")]
mod cpu {
    use sd_core::backend::Cpu;

    use super::*;

    #[test]
    fn latents_and_images_are_those_of_diffusers() {
        let tolerance = Tolerance { latents: 1e-4, byte: 2 };
        check_all::<Cpu>(Default::default(), Precision::F32, tolerance);
    }

    /// The sampler chosen by name over the model's training configuration is what diffusers' `from_config` makes.
    #[test]
    fn schedulers_by_name_are_those_of_from_config() {
        let mut checked = 0;
        for case in Case::all() {
            let Some(kind) = case.kind() else { continue };
            let pipeline = pipeline::<Cpu>(&case.model, &Default::default(), Precision::F32);
            let request = case.request().scheduler(kind);
            let latents = pipeline.run(&request).unwrap().finish_latents().unwrap();
            let error = relative_l2(latents.values(), &case.tensors().f32("output.latents").1);
            assert!(error <= 1e-4, "{}: {error:.2e}", case.name);
            checked += 1;
        }
        assert!(checked >= 15, "only {checked} cases have a named sampler");
    }

    /// The model's own scheduler, untouched.
    #[test]
    fn the_models_own_scheduler_is_the_default() {
        let case = Case::load("pndm");
        let pipeline = pipeline::<Cpu>(&case.model, &Default::default(), Precision::F32);
        let latents = pipeline.run(&case.request()).unwrap().finish_latents().unwrap();
        assert!(relative_l2(latents.values(), &case.tensors().f32("output.latents").1) <= 1e-4);
    }

    /// Shards of a variant, found without being asked for.
    #[test]
    fn half_precision_shards_load_into_f32() {
        let directory = tempfile::tempdir().unwrap();
        copy(&fixture("tiny-sd1"), directory.path());
        std::fs::remove_dir_all(directory.path().join("unet")).unwrap();
        copy(&fixture("tiny-sd1-fp16/unet"), &directory.path().join("unet"));
        let pipeline = Pipeline::<Cpu>::from_pretrained(directory.path(), &Default::default());
        let case = Case::load("pndm");
        let latents = pipeline.unwrap().run(&case.request()).unwrap().finish_latents().unwrap();
        let error = relative_l2(latents.values(), &case.tensors().f32("output.latents").1);
        // Weights rounded to f16 make a similar picture, not the same one.
        assert!(error > 1e-5 && error < 0.2, "{error:.2e}");
    }

    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            match path.is_dir() {
                true => copy(&path, &target),
                false => drop(std::fs::copy(&path, &target).unwrap()),
            }
        }
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use sd_core::backend::{Wgpu, wgpu_available};

    use super::*;

    #[test]
    fn wgpu_latents_and_images_are_those_of_diffusers() {
        if let Err(error) = wgpu_available() {
            println!("skipped: {error}");
            return;
        }
        let tolerance = Tolerance { latents: 1e-3, byte: 3 };
        check_all::<Wgpu>(Default::default(), Precision::F32, tolerance);
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use sd_core::backend::{Cuda, cuda_available};

    use super::*;

    fn on_cuda(precision: Precision, tolerance: Tolerance) {
        match cuda_available() {
            Ok(()) => check_all::<Cuda>(Default::default(), precision, tolerance),
            Err(error) => println!("skipped: {error}"),
        }
    }

    #[test]
    fn cuda_f32_latents_and_images_are_those_of_diffusers() {
        on_cuda(Precision::F32, Tolerance { latents: 1e-2, byte: 8 });
    }

    #[test]
    fn cuda_f16_latents_are_near_those_of_diffusers() {
        on_cuda(Precision::F16, Tolerance { latents: 5e-2, byte: 32 });
    }

    #[test]
    fn cuda_bf16_latents_are_near_those_of_diffusers() {
        on_cuda(Precision::Bf16, Tolerance { latents: 0.3, byte: 128 });
    }
}
