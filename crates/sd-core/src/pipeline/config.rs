//! What a model directory says of a pipeline beside its components.

use sd_kernels::DiffusionBackend;

use crate::{component::Denoiser, request::SizeScalars};

/// The options of `model_index.json` that change what a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineConfig {
    /// Whether an absent negative prompt is features of zeros (SDXL), rather than an empty prompt. An empty one that is given
    /// is encoded.
    pub force_zeros_for_empty_prompt: bool,
    /// Whether the denoiser reads an aesthetic score in the place of the target size (SDXL's refiner).
    pub requires_aesthetics_score: bool,
    /// The largest noise level of a picture that is upscaled.
    pub max_noise_level: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            force_zeros_for_empty_prompt: false,
            requires_aesthetics_score: false,
            max_noise_level: 350,
        }
    }
}

impl PipelineConfig {
    /// Sets what an absent negative prompt is.
    pub fn force_zeros_for_empty_prompt(self, force: bool) -> Self {
        Self { force_zeros_for_empty_prompt: force, ..self }
    }

    /// Sets whether the denoiser reads an aesthetic score.
    pub fn requires_aesthetics_score(self, requires: bool) -> Self {
        Self { requires_aesthetics_score: requires, ..self }
    }

    /// Sets the largest noise level of a picture that is upscaled.
    pub fn max_noise_level(self, max_noise_level: usize) -> Self {
        Self { max_noise_level, ..self }
    }

    /// The numbers about the picture that a denoiser wants.
    pub(crate) fn size_scalars<B: DiffusionBackend>(
        &self,
        denoiser: &dyn Denoiser<B>,
    ) -> SizeScalars {
        match (denoiser.added_input(), self.requires_aesthetics_score) {
            (None, _) => SizeScalars::None,
            (Some(_), false) => SizeScalars::Sizes,
            (Some(_), true) => SizeScalars::Aesthetic,
        }
    }
}
