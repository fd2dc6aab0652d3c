//! Reference runs by diffusers that start from more than noise.

use std::fs;

use image::RgbImage;
use sd_core::{DepthMap, DepthToImage, ImageToImage, Request, Seeds, TextToImage, Upscale};
use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::common::{Tensors, copy, fixture};

#[allow(dead_code, reason = "a GPU that the CPU plays makes a few of them")]
pub(crate) const CASES: [&str; 7] =
    ["image", "image_sde", "image_seeds", "depth", "depth_euler", "upscaler", "upscaler_unguided"];

/// A `kind_*.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct KindCase {
    #[serde(skip)]
    name: String,
    pub(crate) model: String,
    scheduler_config: Map<String, Value>,
    prompt: String,
    negative_prompt: String,
    steps: usize,
    guidance_scale: f64,
    seed: Option<u64>,
    seeds: Option<Vec<u64>>,
    images_per_prompt: usize,
    strength: Option<f64>,
    noise_level: Option<usize>,
}

/// The request of a case.
pub(crate) enum Made {
    Image(ImageToImage),
    Depth(DepthToImage),
    Upscale(Upscale),
}

impl<'a> From<&'a Made> for Request<'a> {
    fn from(made: &'a Made) -> Self {
        match made {
            Made::Image(image) => image.into(),
            Made::Depth(depth) => depth.into(),
            Made::Upscale(upscale) => upscale.into(),
        }
    }
}

impl KindCase {
    pub(crate) fn load(name: &str) -> Self {
        let text = fs::read_to_string(fixture(&format!("kind_{name}.json"))).unwrap();
        Self { name: name.to_owned(), ..serde_json::from_str(&text).unwrap() }
    }

    pub(crate) fn tensors(&self) -> Tensors {
        Tensors::load(&format!("kind_{}.safetensors", self.name))
    }

    /// The scheduler that diffusers resolved.
    pub(crate) fn scheduler(&self) -> String {
        serde_json::to_string(&self.scheduler_config).unwrap()
    }

    /// The request, without the sampler.
    pub(crate) fn request(&self) -> Made {
        let mut text = TextToImage::new(&self.prompt)
            .negative_prompt(&self.negative_prompt)
            .steps(self.steps)
            .guidance_scale(self.guidance_scale)
            .images_per_prompt(self.images_per_prompt);
        text.seeds = match (self.seed, &self.seeds) {
            (_, Some(seeds)) => Seeds::PerImage(seeds.clone()),
            (seed, None) => Seeds::Batch(seed.unwrap()),
        };
        let (shape, bytes) = self.tensors().u8("input.picture");
        let [height, width] = [shape[1], shape[2]].map(|side| side.try_into().unwrap());
        let picture = RgbImage::from_raw(width, height, bytes).unwrap();
        if let Some(level) = self.noise_level {
            return Made::Upscale(Upscale::new(picture, text).noise_level(level));
        }
        let image = ImageToImage::new(picture, text).strength(self.strength.unwrap());
        if self.model == "tiny-sd1" {
            return Made::Image(image);
        }
        let (shape, values) = self.tensors().f32("input.depth");
        let depth = DepthMap::new(shape[2], shape[1], values).unwrap();
        Made::Depth(DepthToImage::new(image, depth))
    }
}

/// A whole repository: what is its own, and the rest from tiny-sd2.
pub(crate) fn repository(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for part in ["text_encoder", "tokenizer", "vae"] {
        copy(&fixture("tiny-sd2").join(part), &directory.path().join(part));
    }
    copy(&fixture(name), directory.path());
    directory
}
