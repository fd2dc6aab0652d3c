//! Reference runs of diffusers, and comparisons with them.
#![allow(dead_code, reason = "each test uses its part")]

mod compare;

use std::{
    fs,
    path::{Path, PathBuf},
};

use safetensors::SafeTensors;
use sd_core::{Latents, SchedulerKind, Seeds, TextToImage};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use compare::{Tolerance, compare};

/// A file or directory of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    // On another machine than the one that compiled the test, the working directory is the repository.
    let compiled = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let root = if compiled.is_dir() { compiled } else { PathBuf::from("tests/fixtures") };
    root.join(name)
}

/// Copies a directory into another.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// One string or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// A `pipeline_*.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) scheduler: Option<String>,
    pub(crate) scheduler_changes: Map<String, Value>,
    pub(crate) scheduler_config: Map<String, Value>,
    pub(crate) timesteps: Vec<f64>,
    prompt: Texts,
    negative_prompt: Option<Texts>,
    steps: usize,
    guidance_scale: f64,
    guidance_rescale: f64,
    width: usize,
    height: usize,
    seed: Option<u64>,
    seeds: Option<Vec<u64>>,
    images_per_prompt: usize,
    clip_skip: Option<usize>,
    eta: f64,
    initial_latents: bool,
    /// Relative L2 of the final latents of diffusers itself, computing in 16 bits.
    pub(crate) f16_error: f64,
    pub(crate) bf16_error: f64,
}

/// Says why a backend's test does not run, or fails where it has to: `SD_TEST_REQUIRE` names backends, as in `wgpu,cuda`.
pub(crate) fn skip(backend: &str, why: &dyn std::fmt::Display) {
    let required = std::env::var("SD_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "{backend} is required: {why}");
    println!("skipped: {why}");
}

impl Case {
    /// The reference run of a sampler whose noise is a Brownian motion, which is held apart.
    pub(crate) const BROWNIAN: &str = "sd2_dpmpp_sde";

    /// All other reference runs, by name.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases: Vec<Self> = fs::read_dir(fixture(""))
            .unwrap()
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let stem = path.file_stem()?.to_str()?.strip_prefix("pipeline_")?.to_owned();
                let wanted = path.extension()? == "json" && stem != Self::BROWNIAN;
                wanted.then(|| Self::load(&stem))
            })
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(cases.len() >= 20, "only {} reference runs", cases.len());
        cases
    }

    /// One reference run.
    pub(crate) fn load(name: &str) -> Self {
        let text = fs::read_to_string(fixture(&format!("pipeline_{name}.json"))).unwrap();
        Self { name: name.to_owned(), ..serde_json::from_str(&text).unwrap() }
    }

    /// Its tensors.
    pub(crate) fn tensors(&self) -> Tensors {
        Tensors::load(&format!("pipeline_{}.safetensors", self.name))
    }

    /// The sampler by name, unless its configuration was changed in ways that have no name.
    pub(crate) fn kind(&self) -> Option<SchedulerKind> {
        let karras = self.scheduler_changes.contains_key("use_karras_sigmas");
        match (self.scheduler.as_deref(), self.scheduler_changes.len()) {
            (Some("DPMSolverMultistepScheduler"), 1) if karras => "DPM++ 2M Karras".parse().ok(),
            (Some(class), 0) => class.parse().ok(),
            _ => None,
        }
    }

    /// The request, without the sampler.
    pub(crate) fn request(&self) -> TextToImage {
        let case = self.clone();
        let mut request = TextToImage::batch(case.prompt.into_vec())
            .negative_prompts(case.negative_prompt.map(Texts::into_vec).unwrap_or_default())
            .steps(case.steps)
            .guidance_scale(case.guidance_scale)
            .guidance_rescale(case.guidance_rescale)
            .size(case.width, case.height)
            .images_per_prompt(case.images_per_prompt)
            .eta(case.eta);
        request.clip_skip = case.clip_skip;
        request.seeds = match (case.seed, case.seeds) {
            (_, Some(seeds)) => Seeds::PerImage(seeds),
            (seed, None) => Seeds::Batch(seed.unwrap_or_default()),
        };
        if case.initial_latents {
            let (shape, values) = self.tensors().f32("input.latents");
            let shape = shape.try_into().unwrap();
            request.latents = Some(Latents::new(shape, values).unwrap());
        }
        request
    }
}

/// The tensors of a reference file.
pub(crate) struct Tensors(Vec<u8>);

impl Tensors {
    pub(crate) fn load(name: &str) -> Self {
        Self(fs::read(fixture(name)).unwrap())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.names().into_iter().map(ToString::to_string).collect()
    }

    pub(crate) fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        let values =
            view.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    pub(crate) fn u8(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        (view.shape().to_vec(), view.data().to_vec())
    }
}

/// `‖found − expected‖ / ‖expected‖`.
pub(crate) fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(expected);
    let difference: f64 = pairs.map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let norm: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    (difference / norm).sqrt()
}
