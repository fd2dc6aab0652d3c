//! Everything random in a training run, as a function of its seed.

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use sd_schedulers::NoiseGenerator;

use crate::{BatchRows, noise::BlockNoise};

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

    /// The choices of a step, of which these rows of its batch take theirs: timesteps, dropped captions, flips and crops.
    pub fn choices(self, step: u64, rows: BatchRows) -> Choices {
        Choices { stream: self.stream(Purpose::Choices, step), rows }
    }

    /// The noise of a step.
    pub fn noise(self, step: u64) -> Box<dyn NoiseGenerator> {
        Box::new(BlockNoise::new(self.stream(Purpose::Noise, step).random()))
    }
}

/// Choices of one step, in the order in which they are asked for.
#[derive(Debug)]
pub struct Choices {
    stream: ChaCha8Rng,
    rows: BatchRows,
}

impl Choices {
    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        self.stream.random_range(0..limit.max(1))
    }

    /// One choice for each of the `count` rows that are at hand. The other rows of the batch are drawn for, too: on every peer the
    /// stream goes on from the same place.
    pub fn each<T>(&mut self, count: usize, mut choose: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let BatchRows { before, after, .. } = self.rows;
        (0..before).for_each(|_| drop(choose(self)));
        let own = (0..count).map(|_| choose(self)).collect();
        (0..after).for_each(|_| drop(choose(self)));
        own
    }

    /// Choices of their own, for something that is done at the same time as other things.
    pub fn fork(&mut self) -> Self {
        Self::of_seed(self.seed())
    }

    /// What a fork follows from.
    pub(crate) fn seed(&mut self) -> u64 {
        self.stream.random()
    }

    /// The fork that follows from a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self { stream: ChaCha8Rng::seed_from_u64(seed), rows: BatchRows::default() }
    }

    /// Yes with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.stream.random_bool(probability.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_draws_what_it_draws() {
        let draws = Draws::new(7);
        let choice = || draws.choices(3, BatchRows::default()).below(1000);
        assert_eq!(choice(), choice());
        assert_eq!(draws.noise(3).normal(4), draws.noise(3).normal(4));
        assert_ne!(draws.noise(3).normal(4), draws.noise(4).normal(4));
        assert_ne!(Draws::new(8).noise(3).normal(4), draws.noise(3).normal(4));
    }
}
