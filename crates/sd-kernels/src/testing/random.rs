//! A small seeded generator of inputs (SplitMix64), so that a failure comes back on every machine.

use super::Array;

/// A sequence of random numbers that its seed decides.
#[derive(Debug, Clone)]
pub struct Generator(u64);

impl Generator {
    /// A generator with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Uniform in `(0, 1]`.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (core::f64::consts::TAU * self.uniform()).cos()
    }

    /// An array of normal numbers.
    pub fn array(&mut self, shape: &[usize], mean: f64, deviation: f64) -> Array {
        let count = shape.iter().product();
        let values = core::iter::repeat_with(|| mean + deviation * self.normal()).take(count);
        Array::new(shape, values.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal_and_repeat() {
        let numbers = Generator::new(7).array(&[10_000], 3.0, 2.0);
        let mean = numbers.values().iter().sum::<f64>() / 1e4;
        let variance = numbers.values().iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4;
        assert!((mean - 3.0).abs() < 0.1 && (variance - 4.0).abs() < 0.2, "{mean}, {variance}");
        assert_eq!(numbers, Generator::new(7).array(&[10_000], 3.0, 2.0));
        assert_ne!(numbers, Generator::new(8).array(&[10_000], 3.0, 2.0));
    }
}
