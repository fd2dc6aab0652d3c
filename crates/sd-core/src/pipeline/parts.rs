//! What a pipeline is made of.

use std::sync::Arc;

use sd_kernels::DiffusionBackend;

use super::PipelineConfig;
use crate::{
    Error, ModelError,
    component::{Denoiser, LatentCodec, TextEncoder},
};

/// The components with weights, and what goes for all of them.
pub(crate) struct Parts<B: DiffusionBackend> {
    pub(crate) text_encoder: Arc<dyn TextEncoder<B>>,
    pub(crate) denoiser: Arc<dyn Denoiser<B>>,
    pub(crate) vae: Arc<dyn LatentCodec<B>>,
    pub(crate) config: PipelineConfig,
}

impl<B: DiffusionBackend> Clone for Parts<B> {
    fn clone(&self) -> Self {
        Self {
            text_encoder: self.text_encoder.clone(),
            denoiser: self.denoiser.clone(),
            vae: self.vae.clone(),
            config: self.config,
        }
    }
}

impl<B: DiffusionBackend> Parts<B> {
    /// Checks that the parts fit together.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        let fits = |what: &str, found: usize, expected: usize| match found == expected {
            true => Ok(()),
            false => Err(ModelError::Mismatch(format!("{what}: {found} and {expected}"))),
        };
        let [denoiser, vae] = [self.denoiser.latent_channels(), self.vae.latent_channels()];
        fits("channels of the denoiser's latents and of the vae's differ", denoiser, vae)?;
        if let (Some(encoder), Some(denoiser)) =
            (self.text_encoder.width(), self.denoiser.context_width())
        {
            fits(
                "widths of the text encoder's features and of the denoiser's context differ",
                encoder,
                denoiser,
            )?;
        }
        if let (Some(added), Some(pooled)) =
            (self.denoiser.added_input(), self.text_encoder.pooled_width())
        {
            let scalars = self.config.size_scalars(self.denoiser.as_ref()).count();
            fits(
                &format!(
                    "pooled text of {pooled} with {scalars} numbers of {} features each, and the denoiser's added input, \
                     differ in width (see `requires_aesthetics_score`)",
                    added.features
                ),
                pooled.saturating_add(added.features.saturating_mul(scalars)),
                added.width,
            )?;
        }
        Ok(self)
    }
}
