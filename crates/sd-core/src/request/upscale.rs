//! Larger pictures.

use image::RgbImage;

use super::{RequestError, Source, TextToImage};

/// Larger pictures from pictures and text, by a model of diffusers' `StableDiffusionUpscalePipeline`: one latent for each
/// pixel, so that the autoencoder's factor is how many times larger they are.
///
/// Several pictures have to have one size; they are repeated one after the other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Upscale {
    /// Prompts and all settings that pictures from text alone have, too. Its size is that of the result, if it is given.
    pub text: TextToImage,
    /// The pictures.
    pub images: Vec<RgbImage>,
    /// How much noise is added to the pictures before the model sees them, as a timestep of its training: more lets it invent
    /// more. Default: 20.
    pub noise_level: usize,
}

impl Upscale {
    /// A request for one larger picture for each prompt.
    pub fn new(image: RgbImage, text: TextToImage) -> Self {
        Self { text, images: vec![image], noise_level: 20 }
    }

    /// Sets the pictures.
    pub fn images(self, images: Vec<RgbImage>) -> Self {
        Self { images, ..self }
    }

    /// Sets how much noise is added.
    pub fn noise_level(self, noise_level: usize) -> Self {
        Self { noise_level, ..self }
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// [`RequestError`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RequestError> {
        self.text.validate()?;
        let (found, batch) = (self.images.len(), self.text.batch_size());
        match found > 0 && batch.is_multiple_of(found) {
            true => Ok(()),
            false => Err(RequestError::SourceCount { found, batch }),
        }
    }

    /// Width and height of the result in pixels, for an autoencoder of this factor.
    pub(crate) fn size(&self, factor: usize) -> Result<[usize; 2], RequestError> {
        let size = Source::size_of(&self.images)?;
        Ok(size.map(|side| side.saturating_mul(factor)))
    }
}
