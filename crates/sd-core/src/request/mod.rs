//! What a user asks for, as plain data.

use sd_schedulers::{GeneratorKind, SchedulerKind};
use serde::{Deserialize, Serialize};

use crate::latents::Latents;

mod any;
mod depth;
mod error;
mod image;
mod named;
mod setters;
mod sizes;
mod upscale;

pub use any::Request;
pub use depth::{DepthMap, DepthMapError, DepthToImage};
pub use error::{Bounds, RequestError};
pub use image::{ImageToImage, Source};
pub use sizes::SizeConditions;
pub(crate) use sizes::{SizeScalars, TimeIds};
pub use upscale::Upscale;

/// Most pictures of one request; more would only be a mistyped number.
const MAX_BATCH: usize = 1024;

/// Longest side of a picture in pixels.
const MAX_SIDE: usize = 16_384;

/// Where the noise of a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seeds {
    /// One generator draws the noise of all pictures in one tensor, as diffusers does with one generator. A picture then
    /// depends on how many are made with it.
    Batch(u64),
    /// One generator for each picture, so that each can be made again alone.
    PerImage(Vec<u64>),
}

impl From<u64> for Seeds {
    fn from(seed: u64) -> Self {
        Self::Batch(seed)
    }
}

impl From<Vec<u64>> for Seeds {
    fn from(seeds: Vec<u64>) -> Self {
        Self::PerImage(seeds)
    }
}

/// Pictures from text.
///
/// ```
/// use sd_core::TextToImage;
///
/// let request = TextToImage::new("a lighthouse at dusk").negative_prompt("people").steps(25).seed(42);
/// assert_eq!(request.guidance_scale, 7.5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextToImage {
    /// What is wanted: one prompt, or several. Empty ones are fine.
    pub prompts: Vec<String>,
    /// What the second text encoder reads instead (SDXL): none, one for all, or as many as prompts.
    pub prompts_2: Vec<String>,
    /// What is not: none (the empty prompt, or what the model takes for no prompt), one for all, or as many as prompts.
    /// Unused without guidance.
    pub negative_prompts: Vec<String>,
    /// What the second text encoder reads instead of the negative prompts.
    pub negative_prompts_2: Vec<String>,
    /// Steps of the sampler. Default: 25.
    pub steps: usize,
    /// Strength of the guidance; up to 1 means none. Default: 7.5.
    pub guidance_scale: f64,
    /// How far guidance is kept from raising the contrast, 0 to 1. Default: 0.
    pub guidance_rescale: f64,
    /// Width and height in pixels. Default: what the model was trained on.
    pub size: Option<[usize; 2]>,
    /// Numbers about the picture that the model is conditioned on (SDXL).
    pub sizes: SizeConditions,
    /// Seeds of the noise. Default: one generator, seed 0.
    pub seeds: Seeds,
    /// The generator of the noise. Default: PyTorch's on the CPU.
    #[serde(with = "named::value")]
    pub generator: GeneratorKind,
    /// Pictures of each prompt. Default: 1.
    pub images_per_prompt: usize,
    /// Layers to skip at the end of the text encoder, for the prompts, as diffusers counts them: 1 is the second-last
    /// layer ("clip skip 2" elsewhere). Default: none.
    pub clip_skip: Option<usize>,
    /// Share of fresh noise in each step of DDIM, 0 to 1. Default: 0.
    pub eta: f64,
    /// Stops after this share of the schedule, above 0 and up to 1, with latents that still have noise: another model goes on
    /// from [`ImageToImage::denoising_start`] (SDXL's refiner). Default: the whole schedule.
    pub denoising_end: Option<f64>,
    /// Another sampler than the model's own, over the model's training configuration.
    #[serde(with = "named::option")]
    pub scheduler: Option<SchedulerKind>,
    /// Unit-variance noise to start from, in place of the seeds' first draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<Latents>,
}

impl Default for TextToImage {
    fn default() -> Self {
        Self {
            prompts: vec![String::new()],
            prompts_2: Vec::new(),
            negative_prompts: Vec::new(),
            negative_prompts_2: Vec::new(),
            steps: 25,
            guidance_scale: 7.5,
            guidance_rescale: 0.0,
            size: None,
            sizes: SizeConditions::default(),
            seeds: Seeds::Batch(0),
            generator: GeneratorKind::TorchCpu,
            images_per_prompt: 1,
            clip_skip: None,
            eta: 0.0,
            denoising_end: None,
            scheduler: None,
            latents: None,
        }
    }
}

impl TextToImage {
    /// Number of pictures.
    pub fn batch_size(&self) -> usize {
        self.prompts.len().saturating_mul(self.images_per_prompt)
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// [`RequestError`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RequestError> {
        let batch = self.batch_size();
        if batch == 0 || batch > MAX_BATCH {
            return Err(RequestError::BatchSize { found: batch, limit: MAX_BATCH });
        }
        self.check_prompts("negative prompts", &self.negative_prompts)?;
        self.check_prompts("prompts of the second encoder", &self.prompts_2)?;
        self.check_prompts("negative prompts of the second encoder", &self.negative_prompts_2)?;
        if self.steps == 0 {
            return Err(RequestError::Steps);
        }
        finite("guidance scale", self.guidance_scale, f64::NEG_INFINITY..=f64::INFINITY)?;
        finite("guidance rescale", self.guidance_rescale, 0.0..=1.0)?;
        finite("eta", self.eta, 0.0..=1.0)?;
        self.sizes.validate()?;
        self.denoising_end
            .map_or(Ok(()), |end| finite("denoising_end", end, Bounds::above(0.0, 1.0)))?;
        match &self.seeds {
            Seeds::PerImage(seeds) if seeds.len() != batch => {
                Err(RequestError::Seeds { found: seeds.len(), batch })
            }
            _ => Ok(()),
        }
    }

    fn check_prompts(&self, what: &'static str, found: &[String]) -> Result<(), RequestError> {
        let prompts = self.prompts.len();
        match found.len() {
            0 | 1 => Ok(()),
            found if found == prompts => Ok(()),
            found => Err(RequestError::PromptCount { what, found, prompts }),
        }
    }

    /// Width and height in pixels for a model of this default and factor.
    ///
    /// # Errors
    /// When a side is 0, too long or no multiple of the factor.
    pub(crate) fn checked_size(
        &self,
        default: [usize; 2],
        factor: usize,
    ) -> Result<[usize; 2], RequestError> {
        let size = self.size.unwrap_or(default);
        for (name, side) in [("width", size[0]), ("height", size[1])] {
            if side == 0 || side > MAX_SIDE || !side.is_multiple_of(factor) {
                return Err(RequestError::Size { name, side, factor, limit: MAX_SIDE });
            }
        }
        Ok(size)
    }
}

fn finite(name: &'static str, value: f64, range: impl Into<Bounds>) -> Result<(), RequestError> {
    let range = range.into();
    match range.contains(value) {
        true => Ok(()),
        false => Err(RequestError::Number { name, value, range }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(request: TextToImage) -> String {
        request.validate().unwrap_err().to_string()
    }

    #[test]
    fn nonsense_is_refused() {
        let request = TextToImage::new("a cat");
        assert_eq!(request.validate(), Ok(()));
        assert!(error(request.clone().steps(0)).contains("0 steps"));
        assert!(error(request.clone().guidance_scale(f64::NAN)).contains("guidance scale is NaN"));
        assert!(error(request.clone().guidance_scale(f64::INFINITY)).contains("finite"));
        assert!(error(request.clone().guidance_rescale(1.5)).contains("0 to 1"));
        assert!(error(request.clone().eta(-0.1)).contains("eta"));
        for end in [0.0, -0.5, 1.5, f64::NAN] {
            let message = error(request.clone().denoising_end(end));
            let expected = format!("denoising_end is {end}, expected above 0 and up to 1");
            assert_eq!(message, expected);
        }
        assert_eq!(request.clone().denoising_end(1.0).validate(), Ok(()));
        assert!(error(request.clone().images_per_prompt(0)).contains("0 pictures"));
        assert!(error(request.clone().images_per_prompt(usize::MAX)).contains("pictures"));
        assert!(error(request.clone().seed(vec![1, 2])).contains("2 seeds for 1"));
        let two = TextToImage::batch(["a", "b", "c"]).negative_prompts(vec![String::new(); 2]);
        assert!(error(two.clone()).contains("2 negative prompts for 3"));
        let two = two.negative_prompts(Vec::new()).prompts_2(vec![String::new(); 2]);
        assert!(error(two).contains("2 prompts of the second encoder for 3"));
    }

    #[test]
    fn sizes_are_multiples_of_the_factor() {
        let request = TextToImage::new("a cat");
        assert_eq!(request.checked_size([512, 256], 8), Ok([512, 256]));
        for (width, height) in [(0, 64), (64, 0), (60, 64), (64, 1 << 40)] {
            assert!(request.clone().size(width, height).checked_size([64, 64], 8).is_err());
        }
    }

    #[test]
    fn requests_are_data() {
        let request = TextToImage::new("a cat").scheduler("Euler a".parse().unwrap()).seed(vec![7]);
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<TextToImage>(&text).unwrap(), request);
        let short =
            serde_json::from_str::<TextToImage>(r#"{"prompts": ["a"], "seeds": 3}"#).unwrap();
        assert_eq!(short, TextToImage::new("a").seed(3));
        let latents = Latents::new([1, 1, 1, 2], vec![0.5, -1.25]).unwrap();
        let request = request.latents(latents);
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<TextToImage>(&text).unwrap(), request);
        for typo in [
            r#"{"prompt": "a"}"#,
            r#"{"guidence_scale": 3}"#,
            r#"{"latents": {"shape": [1, 1, 1, 2], "values": [1]}}"#,
        ] {
            assert!(serde_json::from_str::<TextToImage>(typo).is_err(), "{typo}");
        }
    }
}
