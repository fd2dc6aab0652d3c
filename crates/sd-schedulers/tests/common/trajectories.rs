//! Runs the cases of a file of reference trajectories.

use burn_ndarray::NdArray;
use burn_tensor::{Tensor, TensorData};
use safetensors::SafeTensors;
use sd_schedulers::{
    HostRun, NoiseGenerator, Plan, PlanRequest, Run, SchedulerConfig, TorchCpuGenerator, add_noise,
    normal,
};
use serde_json::{Map, Value};

use super::{fixture, numbers};

type Backend = NdArray<f32>;

const SEED: u64 = 7;
/// Of a whole trajectory.
const TOLERANCE: f64 = 1e-5;

const DIFFUSERS: &str = "diffusers";
const FORMULAS: &str = "formulas in f64";

/// The files of references, and what they were made with.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("ddim", DIFFUSERS),
    ("ddim_inverse", DIFFUSERS),
    ("ddpm", DIFFUSERS),
    ("pndm", DIFFUSERS),
    ("ipndm", DIFFUSERS),
    ("lms", DIFFUSERS),
    ("lms_begin", FORMULAS),
    ("euler", DIFFUSERS),
    ("euler_ancestral", DIFFUSERS),
    ("heun", DIFFUSERS),
    ("dpm2", DIFFUSERS),
    ("dpm2_ancestral", DIFFUSERS),
    ("dpm_multistep", DIFFUSERS),
    ("dpm_singlestep", DIFFUSERS),
    ("dpm_sde", DIFFUSERS),
    ("deis", DIFFUSERS),
    ("unipc", DIFFUSERS),
    ("sa_solver", DIFFUSERS),
    ("lcm", DIFFUSERS),
    ("tcd", DIFFUSERS),
    ("edm_euler", DIFFUSERS),
    ("edm_dpm", DIFFUSERS),
    ("flow_euler", DIFFUSERS),
    ("flow_heun", DIFFUSERS),
    ("flow_lcm", DIFFUSERS),
    ("restart", FORMULAS),
    ("dpm_2s_ancestral", FORMULAS),
    ("dpm_3m_sde", FORMULAS),
    ("euler_cfg", FORMULAS),
    ("dpm_2m_cfg", FORMULAS),
];

#[derive(serde::Deserialize)]
struct File {
    class: String,
    base: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    steps: usize,
    #[serde(default)]
    eta: f64,
    #[serde(default)]
    begin: usize,
    #[serde(default = "one")]
    batch: usize,
    timesteps: Option<Vec<f64>>,
    sigmas: Option<Vec<f64>>,
    mu: Option<f64>,
    #[serde(default)]
    config: Map<String, Value>,
    /// Numbers of timesteps, latents and sigmas.
    counts: [usize; 3],
    /// How far the reference is from the same steps in f64.
    f32_error: f64,
}

fn one() -> usize {
    1
}

impl Case {
    fn shape(&self) -> [usize; 4] {
        [self.batch, 2, 1, 3]
    }

    fn request(&self) -> PlanRequest {
        let request = PlanRequest::new(self.steps).eta(self.eta).begin(self.begin);
        let request = match (&self.timesteps, &self.sigmas) {
            (Some(timesteps), _) => request.timesteps(timesteps.clone()),
            (_, Some(sigmas)) => request.sigmas(sigmas.clone()),
            _ => request,
        };
        self.mu.map_or(request.clone(), |mu| request.mu(mu))
    }
}

struct Reference {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    latents: Vec<f64>,
}

/// What the cases of a file came to.
pub(crate) struct Table {
    pub(crate) class: String,
    pub(crate) cases: usize,
    /// The greatest relative distance from the reference, of cases that are held to the common tolerance.
    pub(crate) worst: f64,
    /// Cases whose reference is itself so far from exact arithmetic that only twice that distance is asked for.
    pub(crate) loose: usize,
    pub(crate) predictions: Vec<String>,
    pub(crate) spacings: Vec<String>,
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

/// `0.3 x cos(t / 100) + offset / 2`, over tensors; without guidance `0.8` of that, and `0.05`.
fn tensor_latents(plan: &Plan, case: &Case) -> (Vec<f64>, Vec<f64>) {
    let (device, shape) = (Default::default(), case.shape());
    let offset = Tensor::<Backend, 4>::from_data(TensorData::new(offset(shape), shape), &device);
    let mut generator = TorchCpuGenerator::new(SEED);
    let draw = |generator: &mut TorchCpuGenerator| normal::<Backend, 4>(generator, shape, &device);
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
        let output = evaluation.input * factor + offset.clone() * 0.5;
        let unguided = output.clone() * 0.8 + 0.05;
        match plan.wants_unguided() {
            true => run.advance_guided(output, unguided, &mut generator),
            false => run.advance(output, &mut generator),
        }
        .unwrap();
        latents.extend(host(run.latents().clone()));
    }
    // trailing timesteps under a clipped lambda are fewer than asked for
    let fewer =
        usize::from(case.config.contains_key("lambda_min_clipped") && plan.steps() < case.steps);
    assert_eq!((run.index(), run.steps()), (plan.steps(), case.steps - case.begin - fewer));
    assert!(run.denoised().is_some() && run.timestep().is_none());
    (host(start), latents)
}

/// The same over `f64`, from the same start.
fn host_latents(plan: &Plan, case: &Case, start: &[f64]) -> Vec<f64> {
    let offset = offset(case.shape());
    let mut generator = TorchCpuGenerator::new(SEED);
    // what the start was made of
    (0..if case.begin == 0 { 1 } else { 2 }).for_each(|_| drop(generator.normal(start.len())));
    let mut run = HostRun::new(plan, start.to_vec());
    let mut latents = Vec::new();
    while let Some((input, evaluation)) = run.evaluation() {
        let factor = 0.3 * (evaluation.timestep / 100.0).cos();
        let output: Vec<f64> =
            input.iter().zip(&offset).map(|(x, offset)| factor * x + 0.5 * offset).collect();
        let unguided = output.iter().map(|value| 0.8 * value + 0.05).collect();
        run.advance_guided(output, unguided, &mut generator).unwrap();
        latents.extend_from_slice(run.latents());
    }
    latents
}

fn cases(name: &str) -> (String, Vec<(Case, SchedulerConfig, Reference)>) {
    let file: File = serde_json::from_slice(&fixture(&format!("{name}.json"))).unwrap();
    let bytes = fixture(&format!("{name}.safetensors"));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let [mut timesteps, mut sigmas, mut init, mut latents] =
        ["timesteps", "sigmas", "init_noise_sigma", "latents"]
            .map(|name| numbers(&tensors, name).into_iter());
    let with_reference = |case: Case| {
        let image: usize = case.shape().iter().product();
        let reference = Reference {
            timesteps: timesteps.by_ref().take(case.counts[0]).collect(),
            sigmas: sigmas.by_ref().take(case.counts[2]).collect(),
            init_noise_sigma: init.next().unwrap(),
            latents: latents.by_ref().take(case.counts[1] * image).collect(),
        };
        let keys = file.base.iter().chain(&case.config);
        let config = keys.fold(SchedulerConfig::new(&file.class), |config, (key, value)| {
            config.with(key, value.clone())
        });
        (case, config, reference)
    };
    let cases: Vec<_> = file.cases.into_iter().map(with_reference).collect();
    assert!(latents.next().is_none() && timesteps.next().is_none() && !cases.is_empty());
    (file.class, cases)
}

/// Holds a file's cases against the crate.
pub(crate) fn check(name: &str) -> Table {
    let (class, cases) = cases(name);
    let (mut worst, mut loose) = (0.0, 0);
    let mut named = [Vec::new(), Vec::new()];
    let count = cases.len();
    for (case, config, reference) in cases {
        for (names, key) in named.iter_mut().zip(["prediction_type", "timestep_spacing"]) {
            let text = config.get(key).and_then(Value::as_str).map(str::to_string);
            names.extend(text.filter(|text| !names.contains(text)));
        }
        let label = format!("{name} {:?}, {config:?}", case.request());
        let scheduler = config.clone().build().unwrap_or_else(|error| panic!("{label}: {error}"));
        let plan =
            scheduler.plan(&case.request()).unwrap_or_else(|error| panic!("{label}: {error}"));
        let close = |what: &str, found: &[f64], expected: &[f64], floor: f64| {
            assert_eq!(found.len(), expected.len(), "{label}: {what} {found:?} {expected:?}");
            for (found, expected) in found.iter().zip(expected) {
                let near = (found - expected).abs() <= 1e-5 * expected.abs().max(floor);
                assert!(near, "{label}: {what}: expected {expected}, found {found}");
            }
        };
        // Half way to a difference of nearly equal squares, which diffusers takes in f32.
        let floor = if name == "dpm2_ancestral" { 2000.0 } else { 1.0 };
        close("timesteps", plan.timesteps(), &reference.timesteps, floor);
        close("init_noise_sigma", &[plan.init_noise_sigma()], &[reference.init_noise_sigma], 0.0);
        if has_plain_sigmas(name, &config) && !reference.sigmas.is_empty() {
            // interpolation by logarithms leaves sigmas behind that no step uses
            let used = &reference.sigmas[..plan.sigmas().len()];
            close("sigmas", plan.sigmas(), used, 1e-12);
        }
        let (start, latents) = tensor_latents(&plan, &case);
        let mut errors = vec![("tensors", relative_error(&latents, &reference.latents))];
        if case.batch == 1 {
            let latents = host_latents(&plan, &case, &start);
            errors.push(("host", relative_error(&latents, &reference.latents)));
        }
        let tolerance = TOLERANCE.max(2.0 * case.f32_error);
        loose += usize::from(tolerance > TOLERANCE);
        for (what, error) in errors {
            worst = if tolerance > TOLERANCE { worst } else { f64::max(worst, error) };
            assert!(
                error <= tolerance,
                "{label}: {what} are {error:e} off, the reference {:e}",
                case.f32_error
            );
        }
    }
    let [predictions, spacings] = named;
    Table { class, cases: count, worst, loose, predictions, spacings }
}

/// Whether diffusers' `sigmas` are noise-to-signal ratios, one for each evaluation.
fn has_plain_sigmas(name: &str, config: &SchedulerConfig) -> bool {
    let plain = ["euler", "euler_ancestral", "lms", "edm_euler", "edm_dpm", "heun"];
    let plain_without_flow = ["dpm_multistep", "dpm_singlestep", "deis", "unipc", "sa_solver"];
    let is_flow = config.get("use_flow_sigmas") == Some(&true.into());
    plain.contains(&name) || plain_without_flow.contains(&name) && !is_flow
}
