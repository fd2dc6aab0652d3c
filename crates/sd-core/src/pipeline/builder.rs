//! Pipelines of given parts.

use std::sync::Arc;

use sd_kernels::DiffusionBackend;
use sd_schedulers::Scheduler;

use super::{Parts, Pipeline, PipelineConfig};
use crate::{
    Error, ModelError,
    component::{Denoiser, Guidance, Hook, LatentCodec, TextEncoder},
    guidance::ClassifierFree,
};

/// Assembles a [`Pipeline`] of parts that are given instead of loaded.
pub struct PipelineBuilder<B: DiffusionBackend> {
    text_encoder: Option<Arc<dyn TextEncoder<B>>>,
    denoiser: Option<Arc<dyn Denoiser<B>>>,
    vae: Option<Arc<dyn LatentCodec<B>>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    low_res_scheduler: Option<Arc<dyn Scheduler>>,
    guidance: Arc<dyn Guidance<B>>,
    hooks: Vec<Arc<dyn Hook<B>>>,
    config: PipelineConfig,
    device: B::Device,
}

impl<B: DiffusionBackend> Default for PipelineBuilder<B> {
    fn default() -> Self {
        Self {
            text_encoder: None,
            denoiser: None,
            vae: None,
            scheduler: None,
            low_res_scheduler: None,
            guidance: Arc::new(ClassifierFree),
            hooks: Vec::new(),
            config: PipelineConfig::default(),
            device: B::Device::default(),
        }
    }
}

impl<B: DiffusionBackend> PipelineBuilder<B> {
    /// Gives the text encoder.
    pub fn text_encoder(mut self, text_encoder: impl TextEncoder<B> + 'static) -> Self {
        self.text_encoder = Some(Arc::new(text_encoder));
        self
    }

    /// Gives the denoiser.
    pub fn denoiser(mut self, denoiser: impl Denoiser<B> + 'static) -> Self {
        self.denoiser = Some(Arc::new(denoiser));
        self
    }

    /// Gives the autoencoder.
    pub fn vae(mut self, vae: impl LatentCodec<B> + 'static) -> Self {
        self.vae = Some(Arc::new(vae));
        self
    }

    /// Gives the sampler.
    pub fn scheduler(mut self, scheduler: impl Scheduler + 'static) -> Self {
        self.scheduler = Some(Arc::new(scheduler));
        self
    }

    /// Gives the scheduler whose noise is added to pictures that are upscaled, for an upscaler.
    pub fn low_res_scheduler(mut self, scheduler: impl Scheduler + 'static) -> Self {
        self.low_res_scheduler = Some(Arc::new(scheduler));
        self
    }

    /// Gives the guidance. Default: [`ClassifierFree`].
    pub fn guidance(mut self, guidance: impl Guidance<B> + 'static) -> Self {
        self.guidance = Arc::new(guidance);
        self
    }

    /// Adds a hook; hooks are called in the order in which they were added.
    pub fn hook(mut self, hook: impl Hook<B> + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Says what `model_index.json` would. Default: as SD 1.x and 2.x.
    pub fn config(mut self, config: PipelineConfig) -> Self {
        self.config = config;
        self
    }

    /// Says on which device the parts are. Default: the backend's default device.
    pub fn device(mut self, device: B::Device) -> Self {
        self.device = device;
        self
    }

    /// Assembles the pipeline.
    ///
    /// # Errors
    /// When a part was not given, or the parts do not fit together.
    pub fn build(self) -> Result<Pipeline<B>, Error> {
        let text_encoder = self.text_encoder.ok_or(ModelError::NotGiven("text encoder"))?;
        let denoiser = self.denoiser.ok_or(ModelError::NotGiven("denoiser"))?;
        let vae = self.vae.ok_or(ModelError::NotGiven("vae"))?;
        let scheduler = self.scheduler.ok_or(ModelError::NotGiven("scheduler"))?;
        if let (Some(_), Some(scale)) = (&self.low_res_scheduler, vae.scaling_factor())
            && let Some(warning) = other_scale(scale)
        {
            tracing::warn!("{warning}");
        }
        Ok(Pipeline {
            parts: Parts { text_encoder, denoiser, vae, config: self.config }.checked()?,
            scheduler,
            low_res_scheduler: self.low_res_scheduler,
            guidance: self.guidance,
            hooks: self.hooks,
            device: self.device,
        })
    }
}

/// The scale of the upscaler's latents, which diffusers puts in the place of any other.
const UPSCALER_SCALE: f64 = 0.08333;

/// What to say of an upscaler whose autoencoder has another scale.
fn other_scale(found: f64) -> Option<String> {
    (found != UPSCALER_SCALE).then(|| {
        format!(
            "the vae of this upscaler has scaling_factor {found}; diffusers takes {UPSCALER_SCALE} for all upscalers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_scales_of_upscalers_are_told() {
        assert_eq!(other_scale(0.08333), None);
        assert!(other_scale(0.18215).unwrap().contains("scaling_factor 0.18215"));
    }
}
