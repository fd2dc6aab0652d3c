//! Brownian noise for the steps of a sampler, by the conventions of k-diffusion's `BrownianTreeNoiseSampler`.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use super::BrownianTree;
use crate::{
    IntervalNoise,
    rng::{GeneratorKind, NoiseError},
};

type Transform = Box<dyn Fn(f64) -> f64 + Send + Sync>;

/// Noise for SDE samplers that depends on the seeds and the interval of a step alone, so that a run of twice the steps
/// follows the same path.
///
/// A step from one sigma to another gets (W(to) − W(from)) / √|to − from| of a [`BrownianTree`] between the lowest and
/// the highest sigma, negative for a falling sigma as in k-diffusion; what of a step lies outside counts as nothing.
///
/// With several seeds there is one tree for each and the numbers are split evenly among them, so that each image can be
/// made again alone; with one seed, one tree fills the batch. Sigmas are rounded to f32, as k-diffusion holds them.
///
/// The web UI takes the lowest sigma above 0 and the highest of all steps (also where a picture is begun later), the seeds
/// of the images, and its source of random numbers as generator.
///
/// ```
/// use sd_schedulers::rng::BrownianNoise;
/// // Two images of 4x8x8 latents.
/// let noise = BrownianNoise::new([0.0292, 14.6146], 2 * 4 * 8 * 8, &[42, 43])?;
/// let first = noise.noise(14.6146, 7.5);
/// noise.noise(7.5, 3.0);
/// assert_eq!(noise.noise(14.6146, 7.5), first);
///
/// let alone = BrownianNoise::new([0.0292, 14.6146], 4 * 8 * 8, &[43])?;
/// assert_eq!(alone.noise(14.6146, 7.5), first[256..]);
/// # Ok::<(), sd_schedulers::rng::NoiseError>(())
/// ```
pub struct BrownianNoise {
    sigmas: [f64; 2],
    seeds: Vec<u64>,
    /// Numbers for each seed.
    share: usize,
    kind: GeneratorKind,
    transform: Transform,
    trees: Mutex<Vec<BrownianTree>>,
}

impl BrownianNoise {
    /// Noise of `count` numbers for all images together, between the lowest sigma above 0 and the highest, with one seed
    /// for the batch or one for each image.
    ///
    /// # Errors
    /// If there is no seed, the numbers cannot be shared evenly among the seeds, or the sigmas are not finite or not
    /// distinct.
    pub fn new(sigmas: [f64; 2], count: usize, seeds: &[u64]) -> Result<Self, NoiseError> {
        if seeds.is_empty() {
            return Err(NoiseError::NoSeeds);
        }
        if !count.is_multiple_of(seeds.len()) {
            return Err(NoiseError::Share { count, images: seeds.len() });
        }
        let noise = Self {
            sigmas,
            seeds: seeds.to_vec(),
            share: count / seeds.len(),
            kind: GeneratorKind::TorchCpu,
            transform: Box::new(|sigma| sigma),
            trees: Mutex::default(),
        };
        noise.planted()
    }

    /// Draws by another generator than PyTorch's on the CPU.
    pub fn generator(mut self, kind: GeneratorKind) -> Self {
        self.kind = kind;
        let trees = self.trees.get_mut().unwrap_or_else(PoisonError::into_inner);
        trees.iter_mut().for_each(|tree| *tree = tree.clone().generator(kind));
        self
    }

    /// Runs the trees over a function of sigma in place of sigma itself, say its logarithm. It has to be monotonic.
    ///
    /// # Errors
    /// If the function gives no finite and distinct times for the lowest and the highest sigma.
    pub fn transform(
        self,
        transform: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self, NoiseError> {
        Self { transform: Box::new(transform), ..self }.planted()
    }

    /// The noise of a step, for all images. A step of no length gets zeros, where k-diffusion gives NaN.
    pub fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
        let [low, high] = self.sigmas.map(|sigma| self.time(sigma));
        let [from, to] = [sigma, sigma_next].map(|sigma| self.time(sigma));
        let sign = if (from < to) == (low < high) { 1.0 } else { -1.0 };
        let length = (to as f32 - from as f32).abs().sqrt();
        let scaled = |value: f32| if length > 0.0 { value * sign / length } else { 0.0 };
        // The trees are whole whatever happened to another thread: what they keep is only saved work.
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.iter_mut().flat_map(|tree| tree.clamped_increment(from, to)).map(scaled).collect()
    }

    /// A sigma's time on the trees.
    fn time(&self, sigma: f64) -> f64 {
        f32_precision((self.transform)(f32_precision(sigma)))
    }

    /// With trees between the two sigmas.
    fn planted(mut self) -> Result<Self, NoiseError> {
        let [low, high] = self.sigmas.map(|sigma| self.time(sigma));
        let tree = |&seed| {
            let tree = BrownianTree::new([low.min(high), low.max(high)], self.share, seed)?;
            Ok(tree.generator(self.kind))
        };
        self.trees = Mutex::new(self.seeds.iter().map(tree).collect::<Result<_, NoiseError>>()?);
        Ok(self)
    }
}

/// What is left of a number in f32.
fn f32_precision(value: f64) -> f64 {
    f64::from(value as f32)
}

impl IntervalNoise for BrownianNoise {
    fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
        Self::noise(self, sigma, sigma_next)
    }
}

impl fmt::Debug for BrownianNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrownianNoise")
            .field("sigmas", &self.sigmas)
            .field("seeds", &self.seeds)
            .field("share", &self.share)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
