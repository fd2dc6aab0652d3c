//! NumPy's legacy generator (`numpy/random/src/legacy/legacy-distributions.c`).

use std::fmt;

use super::{NoiseGenerator, mt19937::Mt19937};

/// Draws what `numpy.random.RandomState(seed).standard_normal(size)` (or `randn`, or `numpy.random.seed` with either)
/// draws.
///
/// In f64 it is bit for bit what NumPy draws on the same x86-64 system; only the logarithm is the system's, as in NumPy,
/// so that another system may differ in the last bit of some. [`fill`](NoiseGenerator::fill) rounds to f32, as
/// `.astype(numpy.float32)` does. How the numbers are split into draws does not matter.
///
/// ```
/// use sd_schedulers::{NoiseGenerator, rng::NumpyGenerator};
/// // numpy.random.RandomState(42).randn(2)
/// assert_eq!(NumpyGenerator::new(42).standard_normal(), 0.4967141530112327);
/// assert_eq!(NumpyGenerator::new(42).normal(2), [0.49671414, -0.1382643]);
/// ```
#[derive(Clone)]
pub struct NumpyGenerator {
    engine: Mt19937,
    /// The second number of a pair, of which the last number was the first.
    second: Option<f64>,
}

impl NumpyGenerator {
    /// A generator with this seed: `RandomState(seed)`. NumPy refuses seeds of more than 32 bits; they are taken here as
    /// `RandomState([low, high])` with their two words.
    pub fn new(seed: u64) -> Self {
        match u32::try_from(seed) {
            Ok(seed) => Self { engine: Mt19937::new(seed), second: None },
            Err(_) => Self::from_words(&[seed as u32, (seed >> 32) as u32]),
        }
    }

    /// A generator seeded by several words: `RandomState([…])`. None are taken as a single 0.
    pub fn from_words(words: &[u32]) -> Self {
        Self { engine: Mt19937::from_words(words), second: None }
    }

    /// The next number, in f64.
    pub fn standard_normal(&mut self) -> f64 {
        if let Some(second) = self.second.take() {
            return second;
        }
        // Marsaglia's polar method
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.second = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// From 0 to 1 with 53 bits.
    fn uniform(&mut self) -> f64 {
        let (high, low) = (self.engine.next_u32() >> 5, self.engine.next_u32() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low)) / (1u64 << 53) as f64
    }
}

impl NoiseGenerator for NumpyGenerator {
    fn fill(&mut self, values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = self.standard_normal() as f32);
    }
}

impl fmt::Debug for NumpyGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumpyGenerator").finish_non_exhaustive()
    }
}
