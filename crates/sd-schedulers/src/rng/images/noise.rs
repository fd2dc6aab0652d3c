//! The draws of a batch.

use super::{ImageSeeds, shapes};
use crate::rng::{BatchGenerator, GeneratorKind, NoiseError, NoiseGenerator};

/// A draw for each image of a batch, the first one varied and resized as its [`ImageSeeds`] say.
///
/// Draws are the generator's own to the bit, and varied ones within 1e-6 of the web UI's. That the web UI compares the
/// directions of two noises along the height of the latents only, and that it swaps the weights where they hardly differ,
/// is kept.
#[derive(Debug)]
pub struct ImageNoise {
    seeds: ImageSeeds,
    kind: GeneratorKind,
    latents: [usize; 3],
    /// None before the first draw.
    following: Option<BatchGenerator>,
}

impl ImageNoise {
    pub(super) fn new(
        seeds: ImageSeeds,
        kind: GeneratorKind,
        latents: [usize; 3],
    ) -> Result<Self, NoiseError> {
        if seeds.seeds().is_empty() {
            return Err(NoiseError::NoSeeds);
        }
        let strength = seeds.variation.as_ref().map_or(0.0, |variation| variation.strength);
        if !(0.0..=1.0).contains(&strength) {
            return Err(NoiseError::Strength { strength });
        }
        let countable = |shape: [usize; 3]| {
            shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side)).unwrap_or(0)
                > 0
        };
        for shape in [latents, shape_of_first(&seeds, latents)] {
            if !countable(shape) {
                return Err(NoiseError::Shape { shape });
            }
        }
        Ok(Self { seeds, kind, latents, following: None })
    }

    /// The first draw of an image, and its generator behind that draw.
    fn first(&self, seed: u64, variation_seed: Option<u64>) -> (Vec<f32>, Box<dyn NoiseGenerator>) {
        let drawn = shape_of_first(&self.seeds, self.latents);
        let fresh = |seed| self.kind.seeded(seed).normal(drawn.iter().product());
        let mut generator = self.kind.seeded(seed);
        let mut canvas = generator.normal(self.latents.iter().product());
        let mut noise = if drawn == self.latents { canvas.clone() } else { fresh(seed) };
        if let (Some(variation), Some(seed)) = (&self.seeds.variation, variation_seed) {
            noise = shapes::turn_towards(&noise, &fresh(seed), drawn, variation.strength);
        }
        if drawn == self.latents {
            return (noise, generator);
        }
        shapes::paste_centred(&mut canvas, self.latents, &noise, drawn);
        (canvas, generator)
    }

    /// The first draw of all images; the generators for those that follow stay behind.
    fn fill_first(&mut self, values: &mut [f32]) {
        let seeds = self.seeds.seeds();
        let mut variations = self.seeds.variation_seeds().into_iter();
        let mut generators = Vec::with_capacity(seeds.len());
        for (values, &seed) in values.chunks_mut(self.latents.iter().product()).zip(&seeds) {
            let (noise, generator) = self.first(seed, variations.next());
            values.copy_from_slice(&noise);
            generators.push(generator);
        }
        self.following = Some(match self.seeds.step_delta {
            0 => BatchGenerator::new(generators),
            delta => {
                let seeds: Vec<u64> =
                    seeds.iter().map(|seed| seed.wrapping_add_signed(delta)).collect();
                BatchGenerator::seeded(self.kind, &seeds)
            }
        });
    }
}

impl NoiseGenerator for ImageNoise {
    /// Fills `values` for all images, which lie one after the other. Of another length than the latents of all have, a draw
    /// is that of the plain seeds, split evenly.
    fn fill(&mut self, values: &mut [f32]) {
        let seeds = self.seeds.seeds();
        let image = self.latents.iter().product::<usize>();
        match &mut self.following {
            Some(following) => following.fill(values),
            None if image.checked_mul(seeds.len()) == Some(values.len()) => self.fill_first(values),
            None => {
                let following = self.following.insert(BatchGenerator::seeded(self.kind, &seeds));
                following.fill(values);
            }
        }
    }
}

/// `[channels, height, width]` of the first draw.
fn shape_of_first(seeds: &ImageSeeds, latents: [usize; 3]) -> [usize; 3] {
    seeds.made_at.map_or(latents, |[height, width]| [latents[0], height, width])
}
