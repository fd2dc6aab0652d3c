//! Pictures from pictures.

use image::RgbImage;

use super::{Bounds, RequestError, TextToImage, finite};
use crate::Latents;

/// What a picture is made from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// Pictures of one size, which the autoencoder encodes.
    Images(Vec<RgbImage>),
    /// Latents as [`Run::finish_latents`](crate::Run::finish_latents) gives them, those of another model with the same
    /// autoencoder, too.
    Latents(Latents),
}

impl From<RgbImage> for Source {
    fn from(image: RgbImage) -> Self {
        Self::Images(vec![image])
    }
}

impl From<Vec<RgbImage>> for Source {
    fn from(images: Vec<RgbImage>) -> Self {
        Self::Images(images)
    }
}

impl From<Latents> for Source {
    fn from(latents: Latents) -> Self {
        Self::Latents(latents)
    }
}

impl Source {
    /// How many pictures these are.
    pub fn count(&self) -> usize {
        match self {
            Self::Images(images) => images.len(),
            Self::Latents(latents) => latents.shape()[0],
        }
    }

    /// Width and height in pixels, for an autoencoder of this factor.
    ///
    /// # Errors
    /// When there is no picture, or pictures differ in size.
    pub(crate) fn size(&self, factor: usize) -> Result<[usize; 2], RequestError> {
        match self {
            Self::Latents(latents) => {
                let [_, _, height, width] = latents.shape();
                Ok([width.saturating_mul(factor), height.saturating_mul(factor)])
            }
            Self::Images(images) => Self::size_of(images),
        }
    }

    /// Width and height of pictures.
    ///
    /// # Errors
    /// When they differ.
    pub(crate) fn size_of(images: &[RgbImage]) -> Result<[usize; 2], RequestError> {
        let size = |image: &RgbImage| [image.width() as usize, image.height() as usize];
        let first = images.first().map(size).unwrap_or_default();
        match images.iter().map(size).find(|other| *other != first) {
            Some(found) => Err(RequestError::SourceSize { expected: first, found }),
            None => Ok(first),
        }
    }
}

/// Pictures from pictures and text: noise is added to the source, and the last steps of the sampler remove it.
///
/// The source is for all pictures of the request or for each; several are repeated one after the other. Noise that the
/// request [gives](TextToImage::latents) is what is added.
///
/// ```
/// use image::RgbImage;
/// use sd_core::{ImageToImage, TextToImage};
///
/// let sketch = RgbImage::new(512, 512);
/// let request = ImageToImage::new(sketch, TextToImage::new("a lighthouse at dusk")).strength(0.6);
/// assert_eq!(request.text.prompts, ["a lighthouse at dusk"]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImageToImage {
    /// Prompts and all settings that pictures from text alone have, too. Its size has to be the source's, if it is given.
    pub text: TextToImage,
    /// What the pictures are made from.
    pub source: Source,
    /// How much is made anew, 0 to 1: the share of the steps that are made. Default: 0.3, as diffusers has it for SDXL.
    pub strength: f64,
    /// Makes the steps that a run with this [`denoising_end`](TextToImage::denoising_end) has left, on its latents as they
    /// are, without noise. The strength has no say then.
    pub denoising_start: Option<f64>,
}

impl ImageToImage {
    /// A request for pictures like the source.
    pub fn new(source: impl Into<Source>, text: TextToImage) -> Self {
        Self { text, source: source.into(), strength: 0.3, denoising_start: None }
    }

    /// Sets how much is made anew.
    pub fn strength(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// Goes on where a run with this `denoising_end` has stopped.
    pub fn denoising_start(self, denoising_start: f64) -> Self {
        Self { denoising_start: Some(denoising_start), ..self }
    }

    /// The last steps that are made by the strength: truncated, as in diffusers.
    pub(crate) fn strength_steps(&self) -> usize {
        (self.text.steps as f64 * self.strength) as usize
    }

    /// Checks everything that does not depend on the model.
    ///
    /// # Errors
    /// [`RequestError`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RequestError> {
        self.text.validate()?;
        finite("strength", self.strength, 0.0..=1.0)?;
        let (sources, batch) = (self.source.count(), self.text.batch_size());
        if sources == 0 || !batch.is_multiple_of(sources) {
            return Err(RequestError::SourceCount { found: sources, batch });
        }
        let steps = self.text.steps;
        match (self.denoising_start, &self.text.latents) {
            (None, _) if self.strength_steps() == 0 => Err(RequestError::NoStepsLeft { steps }),
            (None, _) => Ok(()),
            (Some(start), None) => finite("denoising_start", start, Bounds::below(0.0, 1.0)),
            (Some(_), Some(_)) => Err(RequestError::Exclusive {
                name: "latents",
                other: "denoising_start",
                reason: "from denoising_start on, no noise is added",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn sources(sizes: &[[u32; 2]]) -> Source {
        let images = sizes.iter().map(|[width, height]| RgbImage::new(*width, *height));
        images.collect::<Vec<_>>().into()
    }

    #[test]
    fn nonsense_is_refused() {
        let text = TextToImage::new("a cat").images_per_prompt(2);
        let error = |request: ImageToImage| request.validate().unwrap_err().to_string();
        let request = ImageToImage::new(RgbImage::new(16, 8), text.clone());
        assert_eq!(request.validate(), Ok(()));
        assert!(error(request.clone().strength(1.5)).contains("strength is 1.5"));
        assert!(error(request.clone().denoising_start(f64::NAN)).contains("denoising_start"));
        let late = error(request.clone().denoising_start(1.0));
        assert_eq!(late, "denoising_start is 1, expected 0 or more and below 1");
        assert!(error(request.clone().strength(0.03)).contains("no step is left of 25"));
        let latents = Latents::new([1, 1, 1, 1], vec![0.0]).unwrap();
        let noise = ImageToImage { text: text.clone().latents(latents.clone()), ..request.clone() };
        assert_eq!(noise.validate(), Ok(()));
        let both = error(noise.denoising_start(0.5));
        assert!(both.starts_with("latents and denoising_start are given"), "{both}");
        for count in [0, 3] {
            let request = ImageToImage::new(sources(&vec![[8, 8]; count]), text.clone());
            assert!(error(request).contains(&format!("{count} sources for 2 pictures")));
        }
    }

    #[test]
    fn the_size_is_that_of_the_source() {
        let text = TextToImage::new("a cat");
        let size = |source: Source, text: &TextToImage| {
            Request::from(&ImageToImage::new(source, text.clone())).size([64, 64], 8)
        };
        assert_eq!(size(sources(&[[16, 8]]), &text), Ok([16, 8]));
        assert_eq!(size(sources(&[[16, 8]]), &text.clone().size(16, 8)), Ok([16, 8]));
        assert!(size(sources(&[[16, 8]]), &text.clone().size(8, 16)).is_err());
        assert!(size(sources(&[[16, 8], [8, 8]]), &text).is_err());
        assert!(size(sources(&[[12, 8]]), &text).is_err());
        let latents = Latents::new([1, 1, 2, 3], vec![0.0; 6]).unwrap();
        assert_eq!(size(latents.into(), &text), Ok([24, 16]));
    }
}
