//! Random choices that are the same on every platform.

use chacha20::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A generator whose choices depend on integer arithmetic and exactly rounded products alone.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of one example. `purpose` keeps streams apart that share the other two.
    pub(crate) fn new(seed: u64, purpose: u64, index: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, value) in key.chunks_exact_mut(8).zip([seed, purpose, index]) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A whole number below `count`, or 0 if `count` is 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        // Uneven by less than one in a million for the counts here.
        ((u64::from(self.0.next_u32()) * count as u64) >> 32) as usize
    }

    /// Whether a chance of `percent` in 100 comes true.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number of the range.
    pub(crate) fn between(&mut self, [low, high]: [f32; 2]) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        low + (high - low) * unit
    }

    /// One of the values, which are at least one.
    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// One of the values, each as probable as its weight says; the weights are not all zero.
    pub(crate) fn weighted<T: Copy>(&mut self, values: &[(usize, T)]) -> T {
        let mut rest = self.below(values.iter().map(|(weight, _)| weight).sum());
        let mut index = 0;
        while rest >= values[index].0 {
            rest -= values[index].0;
            index += 1;
        }
        values[index].1
    }
}
