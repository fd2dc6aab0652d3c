//! PyTorch's CPU generator (`aten/src/ATen/native/cpu/DistributionTemplates.h`, `ATen/core/DistributionsHelper.h`).

use std::{f64::consts::TAU, fmt};

use super::{
    NoiseGenerator,
    mt19937::Mt19937,
    polynomials::{ln, sin_cos},
};

/// Numbers that the vectorised path makes at once.
const BLOCK: usize = 16;

/// Draws what `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))` draws in f32, bit for bit.
///
/// Only the low 32 bits of the seed count, as in PyTorch. A draw is one call of `randn`: draws under 16 numbers and
/// longer ones are made in different ways.
///
/// Bit for bit means PyTorch on x86-64 with AVX2; elsewhere PyTorch itself differs in the last bits.
///
/// ```
/// use sd_schedulers::{NoiseGenerator, TorchCpuGenerator};
/// // torch.randn(2, generator=torch.Generator("cpu").manual_seed(42))
/// assert_eq!(TorchCpuGenerator::new(42).normal(2), [0.33669037, 0.1288094]);
/// ```
#[derive(Clone)]
pub struct TorchCpuGenerator {
    engine: Mt19937,
    /// The second number of a pair, of which a short draw took the first. Long draws leave it for the next short one.
    second: Option<f64>,
}

impl TorchCpuGenerator {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self { engine: Mt19937::new(seed as u32), second: None }
    }

    /// From 0 to 1 with 24 bits.
    fn uniform_f32(&mut self) -> f32 {
        (self.engine.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// From 0 to 1 with 53 bits.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.engine.next_u32());
        let bits = (high << 32) | u64::from(self.engine.next_u32());
        (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// One number of the short path: Box and Muller in f64.
    fn next_normal(&mut self) -> f64 {
        if let Some(second) = self.second.take() {
            return second;
        }
        let (angle, radius) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * libm::log1p(-radius)).sqrt();
        self.second = Some(radius * libm::sin(TAU * angle));
        radius * libm::cos(TAU * angle)
    }

    /// One block of the long path: Box and Muller on eight pairs in f32.
    fn fill_block(block: &mut [f32]) {
        let (first, second) = block.split_at_mut(BLOCK / 2);
        for (first, second) in first.iter_mut().zip(second) {
            let radius = (-2.0 * ln(1.0 - *first)).sqrt();
            let (sin, cos) = sin_cos(std::f32::consts::TAU * *second);
            // "+ mean", which turns -0 into 0
            (*first, *second) = (radius * cos + 0.0, radius * sin + 0.0);
        }
    }
}

impl NoiseGenerator for TorchCpuGenerator {
    fn fill(&mut self, values: &mut [f32]) {
        if values.len() < BLOCK {
            values.iter_mut().for_each(|value| *value = (self.next_normal() + 0.0) as f32);
            return;
        }
        values.iter_mut().for_each(|value| *value = self.uniform_f32());
        values.chunks_exact_mut(BLOCK).for_each(Self::fill_block);
        if !values.len().is_multiple_of(BLOCK) {
            // The remainder is not used: the last block is drawn again, over numbers that were finished before.
            let start = values.len() - BLOCK;
            let last = &mut values[start..];
            last.iter_mut().for_each(|value| *value = self.uniform_f32());
            Self::fill_block(last);
        }
    }
}

impl fmt::Debug for TorchCpuGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorchCpuGenerator").finish_non_exhaustive()
    }
}
