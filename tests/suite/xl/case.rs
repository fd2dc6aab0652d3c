//! Reference runs of SDXL by diffusers.

use std::fs;

use image::RgbImage;
use sd_core::{ImageToImage, Latents, Request, Seeds, Source, TextToImage};
use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::common::{Tensors, Texts, copy, fixture};

/// An `xl_*.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct XlCase {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) scheduler_config: Map<String, Value>,
    prompt: Texts,
    prompt_2: Option<Texts>,
    negative_prompt: Option<Texts>,
    negative_prompt_2: Option<Texts>,
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
    /// Heights before widths, as diffusers has them.
    original_size: Option<[usize; 2]>,
    crops_coords_top_left: Option<[usize; 2]>,
    target_size: Option<[usize; 2]>,
    negative_original_size: Option<[usize; 2]>,
    negative_crops_coords_top_left: Option<[usize; 2]>,
    negative_target_size: Option<[usize; 2]>,
    aesthetic_score: Option<f64>,
    negative_aesthetic_score: Option<f64>,
    image: Option<String>,
    strength: Option<f64>,
    denoising_start: Option<f64>,
    denoising_end: Option<f64>,
}

/// The request of a case.
pub(crate) enum Made {
    Text(TextToImage),
    Image(ImageToImage),
}

impl<'a> From<&'a Made> for Request<'a> {
    fn from(made: &'a Made) -> Self {
        match made {
            Made::Text(text) => text.into(),
            Made::Image(image) => image.into(),
        }
    }
}

/// The runs of tiny-sdxl.
pub(crate) const BASE: [&str; 13] = [
    "base",
    "base_end",
    "base_end_dpmpp",
    "base_end_pndm",
    "base_image",
    "clip_skip",
    "empty_negative",
    "lightning",
    "rescale",
    "sizes",
    "sizes_positive_only",
    "turbo",
    "two_prompts",
];

/// The runs of tiny-sdxl-refiner.
pub(crate) const REFINER: [&str; 7] = [
    "refiner_ancestral",
    "refiner_dpmpp",
    "refiner_latents",
    "refiner_picture",
    "refiner_pndm",
    "refiner_seeds",
    "refiner_start",
];

impl XlCase {
    pub(crate) fn load(name: &str) -> Self {
        let text = fs::read_to_string(fixture(&format!("xl_{name}.json"))).unwrap();
        Self { name: name.to_owned(), ..serde_json::from_str(&text).unwrap() }
    }

    pub(crate) fn tensors(&self) -> Tensors {
        Tensors::load(&format!("xl_{}.safetensors", self.name))
    }

    /// The request, without the sampler.
    pub(crate) fn request(&self) -> Made {
        let mut text = self.text();
        text.denoising_end = self.denoising_end;
        let Some(source) = self.source() else { return Made::Text(text) };
        let mut request = ImageToImage::new(source, text);
        request.strength = self.strength.unwrap_or(request.strength);
        request.denoising_start = self.denoising_start;
        Made::Image(request)
    }

    fn source(&self) -> Option<Source> {
        let tensors = self.tensors();
        if self.image.as_deref()? == "latents" {
            let (shape, values) = tensors.f32("input.source");
            return Some(Latents::new(shape.try_into().unwrap(), values).unwrap().into());
        }
        let (shape, bytes) = tensors.u8("input.picture");
        assert_eq!(shape, [1, self.height, self.width, 3]);
        let [width, height] = [self.width, self.height].map(|side| side.try_into().unwrap());
        Some(RgbImage::from_raw(width, height, bytes).unwrap().into())
    }

    /// What all requests have.
    pub(crate) fn text(&self) -> TextToImage {
        let case = self.clone();
        let list = |texts: Option<Texts>| texts.map(Texts::into_vec).unwrap_or_default();
        let mut request = TextToImage::batch(case.prompt.into_vec())
            .prompts_2(list(case.prompt_2))
            .negative_prompts(list(case.negative_prompt))
            .negative_prompts_2(list(case.negative_prompt_2))
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
        let turned = |size: Option<[usize; 2]>| size.map(|[height, width]| [width, height]);
        let sizes = &mut request.sizes;
        sizes.original_size = turned(case.original_size);
        sizes.crops_coords_top_left = case.crops_coords_top_left;
        sizes.target_size = turned(case.target_size);
        sizes.negative_original_size = turned(case.negative_original_size);
        sizes.negative_crops_coords_top_left = case.negative_crops_coords_top_left;
        sizes.negative_target_size = turned(case.negative_target_size);
        sizes.aesthetic_score = case.aesthetic_score;
        sizes.negative_aesthetic_score = case.negative_aesthetic_score;
        request
    }
}

/// A whole repository: those that hold only what is their own get the rest from tiny-sdxl.
pub(crate) fn repository(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&fixture("tiny-sdxl"), directory.path());
    copy(&fixture(name), directory.path());
    directory
}
