//! Whole pipelines against diffusers: the same request makes the same latents and the same images.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::common::skip;
use crate::common::{Case, fixture, relative_l2};
use burn::tensor::backend::BackendTypes;
use image::RgbImage;
use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline, Precision, Run,
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

/// A case's run, with its latents made, and how far they are from those of diffusers (relative L2).
fn latents<B: DiffusionBackend>(
    case: &Case,
    pipeline: &Pipeline<B>,
) -> Result<(Run<B>, f64), String> {
    let pipeline = pipeline.clone().with_scheduler(scheduler(case));
    let mut run = pipeline.run(&case.request()).map_err(|error| error.to_string())?;
    let latents = run.finish_latents().map_err(|error| error.to_string())?;
    let (shape, expected) = case.tensors().f32("output.latents");
    if latents.shape() != shape[..] {
        return Err(format!("latents {:?}, expected {shape:?}", latents.shape()));
    }
    let error = relative_l2(latents.values(), &expected);
    println!("{:<24} latents {error:.2e}", case.name);
    match error.is_finite() {
        true => Ok((run, error)),
        false => Err("latents are not finite".into()),
    }
}

/// The bytes of images beside those of diffusers, if the case has them.
fn bytes(case: &Case, images: &[RgbImage]) -> Option<(Vec<u8>, Vec<u8>)> {
    let reference = case.tensors();
    reference.names().iter().find(|name| *name == "output.image_u8")?;
    let (shape, expected) = reference.u8("output.image_u8");
    assert_eq!(images.len(), shape[0]);
    let found: Vec<u8> = images.iter().flat_map(|image| image.as_raw().iter().copied()).collect();
    assert_eq!(found.len(), expected.len());
    Some((found, expected))
}

fn check<B: DiffusionBackend>(
    case: &Case,
    pipeline: &Pipeline<B>,
    tolerance: Tolerance,
) -> Result<(), String> {
    let (run, error) = latents(case, pipeline)?;
    if error > tolerance.latents {
        return Err(format!("latents differ by {error:.2e}, allowed {:.0e}", tolerance.latents));
    }
    let images = run.finish().map_err(|error| error.to_string())?;
    let Some((found, expected)) = bytes(case, &images) else { return Ok(()) };
    let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    match worst <= tolerance.byte {
        true => Ok(()),
        false => Err(format!("a byte of the image differs by {worst}, allowed {}", tolerance.byte)),
    }
}

/// Both models of the cases.
struct Models<B: DiffusionBackend>([Pipeline<B>; 2]);

impl<B: DiffusionBackend> Models<B> {
    fn load(device: &<B as BackendTypes>::Device, precision: Precision) -> Self {
        Self(["tiny-sd1", "tiny-sd2"].map(|model| pipeline(model, device, precision)))
    }

    fn of(&self, case: &Case) -> &Pipeline<B> {
        &self.0[usize::from(case.model == "tiny-sd2")]
    }
}

/// Runs every case and reports all that fail.
fn check_all<B: DiffusionBackend>(
    device: <B as BackendTypes>::Device,
    precision: Precision,
    tolerance: Tolerance,
) {
    let models = Models::<B>::load(&device, precision);
    let failures: Vec<String> = Case::all()
        .iter()
        .filter_map(|case| {
            let error = check(case, models.of(case), tolerance).err()?;
            Some(format!("{}: {error}", case.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "ndarray")]
mod cpu {
    use sd_core::backend::Cpu;

    use super::*;
    use crate::common::copy;

    /// diffusers takes the times of the motion from f32 logarithms of sigmas and back, here they are f64; and a Brownian path
    /// moves by the root of the time: a millionth of it is a thousandth of the noise. Other noise would be off by more than 1.
    #[test]
    fn brownian_noise_is_that_of_diffusers() {
        let case = Case::load(Case::BROWNIAN);
        let pipeline = pipeline::<Cpu>(&case.model, &Default::default(), Precision::F32);
        let (_, error) = latents(&case, &pipeline).unwrap();
        assert!(error < 5e-3, "latents differ by {error:.2e}");
    }

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
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use sd_core::backend::{Wgpu, wgpu_available};

    use super::*;

    #[test]
    fn wgpu_latents_and_images_are_those_of_diffusers() {
        let tolerance = Tolerance { latents: 1e-3, byte: 3 };
        match wgpu_available() {
            Ok(()) => check_all::<Wgpu>(Default::default(), Precision::F32, tolerance),
            Err(error) => skip("wgpu", &error),
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use sd_core::{
        Latents,
        backend::{Cuda, cuda_available},
        to_images,
    };

    use super::*;

    /// How much worse than diffusers in the same 16 bits: on the average, and in any one case, whose rounding is its own.
    const MEAN_RATIO: f64 = 1.1;
    const WORST_RATIO: f64 = 2.0;

    fn on_cuda(precision: Precision, tolerance: Tolerance) {
        match cuda_available() {
            Ok(()) => check_all::<Cuda>(Default::default(), precision, tolerance),
            Err(error) => skip("cuda", &error),
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

    /// In 16 bits the tiny models are far from their f32 selves in some cases, diffusers' too.
    fn check_half(precision: Precision, theirs: impl Fn(&Case) -> f64) {
        if let Err(error) = cuda_available() {
            return skip("cuda", &error);
        }
        let models = Models::<Cuda>::load(&Default::default(), precision);
        let cases = Case::all();
        let ratios = cases.iter().map(|case| {
            let (_, error) = latents(case, models.of(case)).unwrap();
            let ratio = error / theirs(case);
            println!("{:<24} {ratio:.2} of the error of diffusers", case.name);
            ratio
        });
        let ratios: Vec<f64> = ratios.collect();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        println!("{mean:.2} on the average, at most {worst:.2}");
        assert!(mean <= MEAN_RATIO && worst <= WORST_RATIO, "mean {mean}, worst {worst}");
    }

    #[test]
    fn cuda_f16_errors_are_those_of_diffusers() {
        check_half(Precision::F16, |case| case.f16_error);
    }

    #[test]
    fn cuda_bf16_errors_are_those_of_diffusers() {
        check_half(Precision::Bf16, |case| case.bf16_error);
    }

    /// The autoencoder alone, from the reference's latents.
    fn decoded_psnr(precision: Precision) -> f64 {
        let models = Models::<Cuda>::load(&Default::default(), precision);
        let cases = Case::all();
        let psnrs = cases.iter().filter_map(|case| {
            let (shape, values) = case.tensors().f32("output.latents");
            let latents = Latents::new(shape.try_into().unwrap(), values).unwrap();
            let latents = latents.to_tensor(&Default::default());
            let images = to_images(models.of(case).vae().decode(latents).unwrap()).unwrap();
            let (found, expected) = bytes(case, &images)?;
            let squares: f64 =
                found.iter().zip(&expected).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
            Some(10.0 * (255.0f64.powi(2) * found.len() as f64 / squares.max(1.0)).log10())
        });
        psnrs.inspect(|psnr| println!("PSNR {psnr:.1} dB")).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn cuda_16_bit_images_are_those_of_f32() {
        if let Err(error) = cuda_available() {
            return skip("cuda", &error);
        }
        for precision in [Precision::F16, Precision::Bf16] {
            let psnr = decoded_psnr(precision);
            assert!(psnr >= 45.0, "{precision:?}: {psnr:.1} dB");
        }
    }
}
