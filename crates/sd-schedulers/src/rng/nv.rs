//! The generator "NV" of the web UI (`modules/rng_philox.py`).

use std::f32::consts::TAU;

use super::{NoiseGenerator, philox::curand_words};

/// Draws what the web UI draws with its random number source set to "NV": cuRAND's words with one number from each
/// thread, whatever the size, transformed in f64.
///
/// It is close to [`TorchCudaGenerator`](super::TorchCudaGenerator) (within about 1e-6) as long as a draw fits into one
/// pass of the card there; a longer draw has nothing in common with a card's.
///
/// ```
/// use sd_schedulers::{NoiseGenerator, rng::NvGenerator};
/// assert_eq!(NvGenerator::new(0).normal(3), [-0.9246624, -0.42534396, -2.6438458]);
/// ```
#[derive(Debug, Clone)]
pub struct NvGenerator {
    seed: u64,
    draws: u32,
}

impl NvGenerator {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, draws: 0 }
    }

    fn number(&self, index: u32) -> f32 {
        /// 2^-32, and 2^-32 of a turn, both in f32 as in the web UI.
        const STEP: f32 = 1.0 / (1u64 << 32) as f32;
        const TURN: f32 = STEP * TAU;
        let [x, y, ..] = curand_words(self.seed, index.into(), self.draws.into());
        let uniform = f64::from(x) * f64::from(STEP) + f64::from(STEP / 2.0);
        let angle = f64::from(y) * f64::from(TURN) + f64::from(TURN / 2.0);
        ((-2.0 * libm::log(uniform)).sqrt() * libm::sin(angle)) as f32
    }
}

impl NoiseGenerator for NvGenerator {
    fn fill(&mut self, values: &mut [f32]) {
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.number(index as u32);
        }
        self.draws = self.draws.wrapping_add(1);
    }
}
