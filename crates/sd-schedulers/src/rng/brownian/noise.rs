//! Brownian noise for the steps of a sampler, by the conventions of k-diffusion's `BrownianTreeNoiseSampler`.

use std::fmt;

use super::BrownianTree;
use crate::rng::{GeneratorKind, NoiseError, NoiseGenerator};

type Transform = Box<dyn Fn(f64) -> f64 + Send>;

/// Noise for SDE samplers that depends on the seeds and the interval of a step alone, so that a run of twice the steps
/// follows the same path.
///
/// A step from one sigma to another gets (W(to) − W(from)) / √|to − from| of a [`BrownianTree`] between the lowest and
/// the highest sigma, negative for a falling sigma as in k-diffusion; what of a step lies outside counts as nothing.
/// Draws outside of steps, such as the initial latents, come from the generator that was given.
///
/// With several seeds there is one tree for each and a draw is split evenly among them, so that each image can be made
/// again alone; with one seed, one tree fills the batch. Sigmas are rounded to f32, as k-diffusion holds them.
///
/// ```
/// use sd_schedulers::{GeneratorKind, NoiseGenerator, TorchCpuGenerator, rng::BrownianNoise};
/// let initial = Box::new(TorchCpuGenerator::new(42));
/// let mut noise = BrownianNoise::new(initial, [0.0292, 14.6146], &[42])?;
/// let latents = noise.normal(16);
/// assert_eq!(latents, TorchCpuGenerator::new(42).normal(16));
///
/// let (mut first, mut again) = ([0.0; 16], [0.0; 16]);
/// noise.fill_between(&mut first, 14.6146, 7.5);
/// noise.fill_between(&mut [0.0; 16], 7.5, 3.0);
/// noise.fill_between(&mut again, 14.6146, 7.5);
/// assert_eq!(first, again);
/// # Ok::<(), sd_schedulers::rng::NoiseError>(())
/// ```
pub struct BrownianNoise {
    initial: Box<dyn NoiseGenerator>,
    sigmas: [f64; 2],
    seeds: Vec<u64>,
    kind: GeneratorKind,
    transform: Transform,
    /// Made when the size of a draw is known.
    trees: Vec<BrownianTree>,
}

impl BrownianNoise {
    /// Noise between the lowest sigma above 0 and the highest, with one seed for the batch or one for each image.
    ///
    /// # Errors
    /// If there is no seed, or the sigmas are not finite and in order.
    pub fn new(
        initial: Box<dyn NoiseGenerator>,
        sigmas: [f64; 2],
        seeds: &[u64],
    ) -> Result<Self, NoiseError> {
        if seeds.is_empty() {
            return Err(NoiseError::NoSeeds);
        }
        let noise = Self {
            initial,
            sigmas: sigmas.map(f32_precision),
            seeds: seeds.to_vec(),
            kind: GeneratorKind::TorchCpu,
            transform: Box::new(|sigma| sigma),
            trees: Vec::new(),
        };
        noise.tree(0, noise.seeds[0])?;
        Ok(noise)
    }

    /// Draws by another generator than PyTorch's on the CPU.
    pub fn generator(self, kind: GeneratorKind) -> Self {
        Self { kind, trees: Vec::new(), ..self }
    }

    /// Runs the tree over a function of sigma in place of sigma itself: `f64::ln` with a minus for λ, say. It has to be
    /// monotonic.
    ///
    /// # Errors
    /// If the function gives no finite and distinct times for the lowest and the highest sigma.
    pub fn transform(
        self,
        transform: impl Fn(f64) -> f64 + Send + 'static,
    ) -> Result<Self, NoiseError> {
        let noise = Self { transform: Box::new(transform), trees: Vec::new(), ..self };
        noise.tree(0, noise.seeds[0])?;
        Ok(noise)
    }

    /// A sigma's place on the tree.
    fn time(&self, sigma: f64) -> f64 {
        f32_precision((self.transform)(f32_precision(sigma)))
    }

    /// The places of the lowest and the highest sigma.
    fn ends(&self) -> [f64; 2] {
        self.sigmas.map(|sigma| self.time(sigma))
    }

    fn tree(&self, size: usize, seed: u64) -> Result<BrownianTree, NoiseError> {
        let [low, high] = self.ends();
        Ok(BrownianTree::new([low.min(high), low.max(high)], size, seed)?.generator(self.kind))
    }

    /// Makes the trees for another size of draws.
    fn prepare(&mut self, share: usize) {
        if self.trees.first().is_none_or(|tree| tree.size() != share) {
            // The times were tried when they were given.
            self.trees =
                self.seeds.iter().filter_map(|&seed| self.tree(share, seed).ok()).collect();
        }
    }
}

impl NoiseGenerator for BrownianNoise {
    /// A draw of the generator for what is no step.
    fn fill(&mut self, values: &mut [f32]) {
        self.initial.fill(values);
    }

    /// The noise of a step. A step of no length gets zeros, where k-diffusion gives NaN. Of a length that is no multiple of
    /// the number of seeds, the last images get fewer numbers.
    fn fill_between(&mut self, values: &mut [f32], from: f64, to: f64) {
        let share = values.len().div_ceil(self.seeds.len());
        if share == 0 {
            return;
        }
        self.prepare(share);
        let [low, high] = self.ends();
        let [from, to] = [from, to].map(|sigma| self.time(sigma));
        let sign = if (from < to) == (low < high) { 1.0 } else { -1.0 };
        let length = (to as f32 - from as f32).abs().sqrt();
        for (values, tree) in values.chunks_mut(share).zip(&mut self.trees) {
            let increment = tree.clamped_increment(from, to);
            for (value, increment) in values.iter_mut().zip(increment) {
                *value = if length > 0.0 { increment * sign / length } else { 0.0 };
            }
        }
    }
}

/// What is left of a number in f32.
fn f32_precision(value: f64) -> f64 {
    f64::from(value as f32)
}

impl fmt::Debug for BrownianNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrownianNoise")
            .field("initial", &self.initial)
            .field("sigmas", &self.sigmas)
            .field("seeds", &self.seeds)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
