//! One generator per image.

use super::{GeneratorKind, NoiseGenerator};

/// One generator per image of a batch, so that each image can be made again alone.
///
/// A draw is split evenly among them in the order of the batch, as diffusers does with a list of generators.
#[derive(Debug)]
pub struct BatchGenerator {
    generators: Vec<Box<dyn NoiseGenerator>>,
}

impl BatchGenerator {
    /// A generator of these, one per image.
    pub fn new(generators: Vec<Box<dyn NoiseGenerator>>) -> Self {
        Self { generators }
    }

    /// One generator of a kind per seed.
    pub fn seeded(kind: GeneratorKind, seeds: &[u64]) -> Self {
        Self::new(seeds.iter().map(|&seed| kind.seeded(seed)).collect())
    }
}

impl NoiseGenerator for BatchGenerator {
    /// Fills `values`, whose length is a multiple of the number of generators; of any other length, the last images get
    /// fewer numbers. Without generators nothing is filled.
    fn fill(&mut self, values: &mut [f32]) {
        let image = values.len().div_ceil(self.generators.len().max(1)).max(1);
        for (values, generator) in values.chunks_mut(image).zip(&mut self.generators) {
            generator.fill(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TorchCpuGenerator;

    #[test]
    fn a_batch_is_its_images_one_after_the_other() {
        let mut batch = BatchGenerator::seeded(GeneratorKind::TorchCpu, &[3, 4]);
        let mut alone = [TorchCpuGenerator::new(3), TorchCpuGenerator::new(4)];
        for _ in 0..2 {
            let expected: Vec<f32> =
                alone.iter_mut().flat_map(|generator| generator.normal(20)).collect();
            assert_eq!(batch.normal(40), expected);
        }
        assert!(batch.normal(0).is_empty());
    }
}
