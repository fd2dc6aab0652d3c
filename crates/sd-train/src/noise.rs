//! Noise for training: as much of it in a step as a batch has latents, so all cores draw.

use core::f32::consts::TAU;

use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use sd_schedulers::NoiseGenerator;

/// Numbers that are drawn from one stream.
const BLOCK: usize = 4096;

/// Normally distributed numbers by the Box–Muller transform. Every block of a draw has a stream of its own, so what is drawn does
/// not depend on the number of threads.
#[derive(Debug)]
pub(crate) struct BlockNoise {
    seed: u64,
    /// Streams drawn from.
    streams: u64,
}

impl BlockNoise {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, streams: 0 }
    }
}

impl NoiseGenerator for BlockNoise {
    fn fill(&mut self, values: &mut [f32]) {
        let (seed, first) = (self.seed, self.streams);
        self.streams += values.len().div_ceil(BLOCK) as u64;
        values.par_chunks_mut(BLOCK).enumerate().for_each(|(index, block)| {
            let mut stream = ChaCha8Rng::seed_from_u64(seed);
            stream.set_stream(first + index as u64);
            for pair in block.chunks_mut(2) {
                pair.copy_from_slice(&normal_pair(&mut stream)[..pair.len()]);
            }
        });
    }
}

fn normal_pair(stream: &mut ChaCha8Rng) -> [f32; 2] {
    const STEP: f32 = 1.0 / (1 << 24) as f32;
    // Above zero, of which there is no logarithm.
    let radius = (((stream.next_u32() >> 8) + 1) as f32 * STEP).ln();
    let angle = (stream.next_u32() >> 8) as f32 * STEP * TAU;
    let radius = (-2.0 * radius).sqrt();
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_normal() {
        let values = BlockNoise::new(5).normal(200_001);
        let mean = |power: i32| {
            let sum: f64 = values.iter().map(|value| f64::from(*value).powi(power)).sum();
            sum / values.len() as f64
        };
        // Moments of a unit normal distribution: 0, 1, 0, 3; each within about four standard errors.
        for (power, (expected, error)) in
            (1..).zip([(0.0, 0.01), (1.0, 0.015), (0.0, 0.04), (3.0, 0.1)])
        {
            let found = mean(power);
            assert!((found - expected).abs() < error, "moment {power}: {found}");
        }
        let below = values.iter().filter(|value| **value < -1.0).count() as f64;
        assert!((below / values.len() as f64 - 0.158_655).abs() < 0.004);
        let neighbours: f64 =
            values.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
        assert!((neighbours / values.len() as f64).abs() < 0.01);
    }

    #[test]
    fn threads_change_nothing_and_draws_go_on() {
        let draw = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut noise = BlockNoise::new(9);
                (noise.normal(3 * BLOCK + 5), noise.normal(7))
            })
        };
        let (first, second) = draw(1);
        assert_eq!(draw(3), (first.clone(), second.clone()));
        assert_ne!(first[..7], second[..]);
    }
}
