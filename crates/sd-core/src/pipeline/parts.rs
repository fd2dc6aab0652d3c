//! What a pipeline is made of.

use std::sync::Arc;

use sd_kernels::DiffusionBackend;

use crate::{
    Error, ModelError,
    component::{Denoiser, LatentCodec, TextEncoder},
};

/// The components with weights.
pub(crate) struct Parts<B: DiffusionBackend> {
    pub(crate) text_encoder: Arc<dyn TextEncoder<B>>,
    pub(crate) denoiser: Arc<dyn Denoiser<B>>,
    pub(crate) vae: Arc<dyn LatentCodec<B>>,
}

impl<B: DiffusionBackend> Clone for Parts<B> {
    fn clone(&self) -> Self {
        Self {
            text_encoder: self.text_encoder.clone(),
            denoiser: self.denoiser.clone(),
            vae: self.vae.clone(),
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
        Ok(self)
    }
}
