//! Everything random in a training run, as a function of its seed.

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use sd_schedulers::{NoiseGenerator, TorchCpuGenerator};

/// What a draw is for. Each purpose has a stream of its own, so that one more draw of one changes no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Order,
    Choices,
    Noise,
}

/// The randomness of a run. It has no state: what a step draws follows from the seed and the step alone, so a run that was
/// interrupted goes on as if it had not been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn stream(self, purpose: Purpose, index: u64) -> ChaCha8Rng {
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_stream((index << 2) | purpose as u64);
        stream
    }

    /// The order of the examples in an epoch.
    pub fn order(self, epoch: u64, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut self.stream(Purpose::Order, epoch));
        order
    }

    /// The choices of a step: timesteps, dropped captions, flips and crops.
    pub fn choices(self, step: u64) -> Choices {
        Choices(self.stream(Purpose::Choices, step))
    }

    /// The noise of a step, from the generator that the pipelines use.
    pub fn noise(self, step: u64) -> Box<dyn NoiseGenerator> {
        let seed = self.stream(Purpose::Noise, step).random();
        Box::new(TorchCpuGenerator::new(seed))
    }
}

/// Choices of one step, in the order in which they are asked for.
#[derive(Debug)]
pub struct Choices(ChaCha8Rng);

impl Choices {
    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit.max(1))
    }

    /// Choices of their own for each of several things that are done at the same time.
    pub fn each(&mut self, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self(ChaCha8Rng::seed_from_u64(self.0.random()))).collect()
    }

    /// Yes with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_draws_what_it_draws() {
        let draws = Draws::new(7);
        assert_eq!(draws.choices(3).below(1000), draws.choices(3).below(1000));
        assert_eq!(draws.noise(3).normal(4), draws.noise(3).normal(4));
        assert_ne!(draws.noise(3).normal(4), draws.noise(4).normal(4));
        assert_ne!(Draws::new(8).noise(3).normal(4), draws.noise(3).normal(4));
    }
}
