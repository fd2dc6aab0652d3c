//! Whole trajectories against diffusers, in f32 tensors and in f64 on the host.
//!
//! The reference values are written by `scripts/golden/schedulers.py`.

#![allow(clippy::unwrap_used)]

mod common;

use burn_ndarray::NdArray;
use burn_tensor::{Tensor, TensorData};
use common::{fixture, numbers};
use safetensors::SafeTensors;
use sd_schedulers::{
    HostRun, NoiseGenerator, Plan, PlanRequest, Run, SchedulerConfig, TorchCpuGenerator, add_noise,
    normal,
};

type Backend = NdArray<f32>;

const SEED: u64 = 7;
/// Of a whole trajectory, as `design.md` has it.
const TOLERANCE: f64 = 1e-5;

#[derive(serde::Deserialize)]
struct Case {
    steps: usize,
    eta: f64,
    begin: usize,
    shape: [usize; 4],
    timesteps: usize,
    sigmas: usize,
    /// How far the reference is from the same steps in f64.
    f32_error: f64,
    config: SchedulerConfig,
}

struct Reference {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    start: Vec<f64>,
    latents: Vec<f64>,
}

fn cases(name: &str) -> Vec<(Case, Reference)> {
    let cases: Vec<Case> = serde_json::from_slice(&fixture(&format!("{name}.json"))).unwrap();
    let bytes = fixture(&format!("{name}.safetensors"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let [mut timesteps, mut sigmas, mut init, mut start, mut latents] =
        ["timesteps", "sigmas", "init_noise_sigma", "start", "latents"]
            .map(|name| numbers(&file, name).into_iter());
    let with_reference = |case: Case| {
        let image: usize = case.shape.iter().product();
        let reference = Reference {
            timesteps: timesteps.by_ref().take(case.timesteps).collect(),
            sigmas: sigmas.by_ref().take(case.sigmas).collect(),
            init_noise_sigma: init.next().unwrap(),
            start: start.by_ref().take(image).collect(),
            latents: latents.by_ref().take(case.timesteps * image).collect(),
        };
        (case, reference)
    };
    let cases: Vec<_> = cases.into_iter().map(with_reference).collect();
    assert!(latents.next().is_none() && !cases.is_empty());
    cases
}

fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let distance: f64 = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = expected.iter().map(|b| b * b).sum();
    (distance / norm.max(f64::MIN_POSITIVE)).sqrt()
}

fn host<const D: usize>(tensor: Tensor<Backend, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn offset(shape: [usize; 4]) -> Vec<f64> {
    let bytes = fixture("model.safetensors");
    numbers(&SafeTensors::deserialize(&bytes).unwrap(), "offset")[..shape.iter().product()].to_vec()
}

/// `0.3 x cos(t / 100) + offset / 2`, over tensors.
fn tensor_latents(plan: &Plan, case: &Case) -> (Vec<f64>, Vec<f64>) {
    let device = Default::default();
    let offset =
        Tensor::<Backend, 4>::from_data(TensorData::new(offset(case.shape), case.shape), &device);
    let mut generator = TorchCpuGenerator::new(SEED);
    let draw =
        |generator: &mut TorchCpuGenerator| normal::<Backend, 4>(generator, case.shape, &device);
    let start = if case.begin == 0 {
        draw(&mut generator) * plan.init_noise_sigma()
    } else {
        let clean = draw(&mut generator);
        add_noise(clean, draw(&mut generator), plan.level())
    };
    let mut run = Run::new(plan, start.clone());
    let mut latents = Vec::new();
    while let Some(evaluation) = run.evaluation() {
        let factor = 0.3 * (evaluation.timestep / 100.0).cos();
        run.advance(evaluation.input * factor + offset.clone() * 0.5, &mut generator).unwrap();
        latents.extend(host(run.latents().clone()));
    }
    // trailing timesteps under a clipped lambda are fewer than asked for
    let fewer =
        usize::from(case.config.get("lambda_min_clipped").is_some() && plan.steps() < case.steps);
    assert_eq!((run.index(), run.steps()), (plan.steps(), case.steps - case.begin - fewer));
    assert!(run.denoised().is_some() && run.timestep().is_none());
    (host(start), latents)
}

/// The same over `f64`, from the same start.
fn host_latents(plan: &Plan, case: &Case, start: &[f64]) -> Vec<f64> {
    let offset = offset(case.shape);
    let mut generator = TorchCpuGenerator::new(SEED);
    // what the start was made of
    (0..if case.begin == 0 { 1 } else { 2 }).for_each(|_| drop(generator.normal(start.len())));
    let mut run = HostRun::new(plan, start.to_vec());
    let mut latents = Vec::new();
    while let Some((input, evaluation)) = run.evaluation() {
        let factor = 0.3 * (evaluation.timestep / 100.0).cos();
        let output =
            input.iter().zip(&offset).map(|(x, offset)| factor * x + 0.5 * offset).collect();
        run.advance(output, &mut generator).unwrap();
        latents.extend_from_slice(run.latents());
    }
    latents
}

fn check(name: &str) {
    let mut worst = 0.0;
    for (case, reference) in cases(name) {
        let label = format!(
            "{name} {} steps, begin {}, eta {}, {:?}",
            case.steps, case.begin, case.eta, case.config
        );
        let scheduler = case.config.clone().build().unwrap();
        let request = PlanRequest::new(case.steps).eta(case.eta).begin(case.begin);
        let plan = scheduler.plan(&request).unwrap_or_else(|error| panic!("{label}: {error}"));
        let close = |what: &str, found: &[f64], expected: &[f64], floor: f64| {
            assert_eq!(found.len(), expected.len(), "{label}: {what} {found:?} {expected:?}");
            for (found, expected) in found.iter().zip(expected) {
                let near = (found - expected).abs() <= 1e-5 * expected.abs().max(floor);
                assert!(near, "{label}: {what}: expected {expected}, found {found}");
            }
        };
        close("timesteps", plan.timesteps(), &reference.timesteps, 1.0);
        close("init_noise_sigma", &[plan.init_noise_sigma()], &[reference.init_noise_sigma], 0.0);
        if !reference.sigmas.is_empty() {
            // interpolation by logarithms leaves sigmas behind that no step uses
            let used = &reference.sigmas[..plan.sigmas().len()];
            close("sigmas", plan.sigmas(), used, 1e-12);
        }
        let (start, latents) = tensor_latents(&plan, &case);
        let error = relative_error(&start, &reference.start);
        assert!(error <= 1e-6, "{label}: start is {error:e} off");
        let mut errors = vec![("tensors", relative_error(&latents, &reference.latents))];
        if case.shape[0] == 1 {
            let latents = host_latents(&plan, &case, &reference.start);
            errors.push(("host", relative_error(&latents, &reference.latents)));
        }
        for (what, error) in errors {
            let tolerance = TOLERANCE.max(2.0 * case.f32_error);
            worst = if tolerance > TOLERANCE { worst } else { f64::max(worst, error) };
            assert!(
                error <= tolerance,
                "{label}: {what} are {error:e} off, the reference {:e}",
                case.f32_error
            );
        }
    }
    println!("{name}: at most {worst:.1e} off");
}

#[test]
fn ddim() {
    check("ddim");
}

#[test]
fn pndm() {
    check("pndm");
}

#[test]
fn euler() {
    check("euler");
}

#[test]
fn euler_ancestral() {
    check("euler_ancestral");
}

#[test]
fn heun() {
    check("heun");
}

#[test]
fn dpm_multistep() {
    check("dpm_multistep");
}
