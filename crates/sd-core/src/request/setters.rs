//! Requests, made setting by setting.

use sd_schedulers::SchedulerKind;

use super::{Seeds, TextToImage};
use crate::latents::Latents;

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $field:ident = $value:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

macro_rules! sizes {
    ($($(#[$doc:meta])* $name:ident($first:ident, $second:ident);)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $first: usize, $second: usize) -> Self {
            self.sizes.$name = Some([$first, $second]);
            self
        }
    )*};
}

impl TextToImage {
    /// A request for one prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompts: vec![prompt.into()], ..Self::default() }
    }

    /// A request for several prompts.
    pub fn batch<P: Into<String>>(prompts: impl IntoIterator<Item = P>) -> Self {
        Self { prompts: prompts.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Sets the negative prompt of all prompts.
    pub fn negative_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.negative_prompts = vec![prompt.into()];
        self
    }

    /// Sets what the second text encoder reads for all prompts.
    pub fn prompt_2(mut self, prompt: impl Into<String>) -> Self {
        self.prompts_2 = vec![prompt.into()];
        self
    }

    /// Sets what the second text encoder reads for all negative prompts.
    pub fn negative_prompt_2(mut self, prompt: impl Into<String>) -> Self {
        self.negative_prompts_2 = vec![prompt.into()];
        self
    }

    /// Sets the seed, or a seed for each picture.
    pub fn seed(mut self, seed: impl Into<Seeds>) -> Self {
        self.seeds = seed.into();
        self
    }

    /// Sets width and height in pixels.
    pub fn size(mut self, width: usize, height: usize) -> Self {
        self.size = Some([width, height]);
        self
    }

    sizes! {
        /// Sets width and height before the picture was scaled for training.
        original_size(width, height);
        /// Sets how far from the top and from the left the picture was cut out.
        crops_coords_top_left(top, left);
        /// Sets width and height that the picture was scaled to.
        target_size(width, height);
        /// Sets the original width and height of the negative prompt.
        negative_original_size(width, height);
        /// Sets the crop of the negative prompt.
        negative_crops_coords_top_left(top, left);
        /// Sets the target width and height of the negative prompt.
        negative_target_size(width, height);
    }

    /// Sets how beautiful the picture is to be, for SDXL's refiner.
    pub fn aesthetic_score(mut self, score: f64) -> Self {
        self.sizes.aesthetic_score = Some(score);
        self
    }

    /// Sets the aesthetic score of the negative prompt.
    pub fn negative_aesthetic_score(mut self, score: f64) -> Self {
        self.sizes.negative_aesthetic_score = Some(score);
        self
    }

    setters! {
        /// Sets a negative prompt for each prompt.
        negative_prompts: Vec<String> => negative_prompts = negative_prompts;
        /// Sets what the second text encoder reads for each prompt.
        prompts_2: Vec<String> => prompts_2 = prompts_2;
        /// Sets what the second text encoder reads for each negative prompt.
        negative_prompts_2: Vec<String> => negative_prompts_2 = negative_prompts_2;
        /// Sets the number of steps.
        steps: usize => steps = steps;
        /// Sets the strength of the guidance.
        guidance_scale: f64 => guidance_scale = guidance_scale;
        /// Sets how far guidance is kept from raising the contrast.
        guidance_rescale: f64 => guidance_rescale = guidance_rescale;
        /// Sets the number of pictures of each prompt.
        images_per_prompt: usize => images_per_prompt = images_per_prompt;
        /// Skips layers at the end of the text encoder.
        clip_skip: usize => clip_skip = Some(clip_skip);
        /// Sets the share of fresh noise in each step of DDIM.
        eta: f64 => eta = eta;
        /// Stops after this share of the schedule.
        denoising_end: f64 => denoising_end = Some(denoising_end);
        /// Sets the sampler.
        scheduler: SchedulerKind => scheduler = Some(scheduler);
        /// Sets the noise to start from.
        latents: Latents => latents = Some(latents);
    }
}
