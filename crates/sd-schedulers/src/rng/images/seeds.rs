//! Which seeds the images of a batch have, and what is done with their first draw.

use super::ImageNoise;
use crate::rng::{GeneratorKind, NoiseError};

/// The seeds of a batch as the web UI and its descendants count them, with all that goes by "extra" there.
///
/// ```
/// use sd_schedulers::{GeneratorKind, NoiseGenerator, rng::ImageSeeds};
/// let seeds = ImageSeeds::counting(1000, 2);
/// assert_eq!(seeds.seeds(), [1000, 1001]);
/// // With a variation the seed stays and the variation seed counts.
/// let seeds = seeds.variation(7, 0.3);
/// assert_eq!((seeds.seeds(), seeds.variation_seeds()), (vec![1000, 1000], vec![7, 8]));
///
/// // A composition made at 512x512, in a picture of 768x512.
/// let mut noise = seeds.made_at([64, 64]).noise(GeneratorKind::TorchCpu, [4, 64, 96])?;
/// assert_eq!(noise.normal(2 * 4 * 64 * 96).len(), 49_152);
/// # Ok::<(), sd_schedulers::rng::NoiseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSeeds {
    seeds: Vec<u64>,
    counts: bool,
    pub(super) variation: Option<Variation>,
    pub(super) made_at: Option<[usize; 2]>,
    pub(super) step_delta: i64,
}

/// Noise of another seed to be mixed in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variation {
    pub(super) seeds: Vec<u64>,
    pub(super) strength: f32,
}

impl ImageSeeds {
    /// Seeds that count up from one, image by image.
    pub fn counting(seed: u64, images: usize) -> Self {
        Self { counts: true, ..Self::listed(count_up(seed, images)) }
    }

    /// A seed for each image.
    pub fn listed(seeds: Vec<u64>) -> Self {
        Self { seeds, counts: false, variation: None, made_at: None, step_delta: 0 }
    }

    /// Turns the first draw towards that of another seed ("variation seed", "subseed"), which counts up image by image,
    /// while seeds that would count stay at the first. A strength of 0 leaves everything as it is, 1 gives the other
    /// seed's noise.
    pub fn variation(self, seed: u64, strength: f32) -> Self {
        let seeds = count_up(seed, self.seeds.len());
        self.variations(seeds, strength)
    }

    /// As [`variation`](Self::variation) with a variation seed for each image; 0 for those that the list does not reach.
    pub fn variations(self, seeds: Vec<u64>, strength: f32) -> Self {
        let variation = (strength != 0.0).then_some(Variation { seeds, strength });
        Self { variation, ..self }
    }

    /// Takes the first draw at another size of the latents, `[height, width]`, and lays it into the middle of a draw of the
    /// right size ("resize seed from"), so that a picture of another size has about the same content. A larger one is
    /// cropped. The web UI asks for pixels: eight for each of the latents.
    pub fn made_at(self, size: [usize; 2]) -> Self {
        // As there, a side of 0 means that nothing is resized.
        Self { made_at: (!size.contains(&0)).then_some(size), ..self }
    }

    /// Draws the noise of steps from the seeds plus this number ("eta noise seed delta", ENSD; 31337 elsewhere). Zero goes
    /// on with the generators of the first draw.
    pub fn step_delta(self, delta: i64) -> Self {
        Self { step_delta: delta, ..self }
    }

    /// The seed of each image.
    pub fn seeds(&self) -> Vec<u64> {
        match self.seeds.first() {
            Some(&first) if self.counts && self.variation.is_some() => {
                vec![first; self.seeds.len()]
            }
            _ => self.seeds.clone(),
        }
    }

    /// The variation seed of each image; none without a variation.
    pub fn variation_seeds(&self) -> Vec<u64> {
        let Some(Variation { seeds, .. }) = &self.variation else { return Vec::new() };
        seeds.iter().copied().chain(std::iter::repeat(0)).take(self.seeds.len()).collect()
    }

    /// The noise of these seeds, for latents of `[channels, height, width]`.
    ///
    /// # Errors
    /// If there is no seed, no latent, or a strength outside of 0 to 1.
    pub fn noise(
        &self,
        kind: GeneratorKind,
        latents: [usize; 3],
    ) -> Result<ImageNoise, NoiseError> {
        ImageNoise::new(self.clone(), kind, latents)
    }
}

/// Consecutive seeds.
fn count_up(seed: u64, images: usize) -> Vec<u64> {
    (0..images as u64).map(|image| seed.wrapping_add(image)).collect()
}
