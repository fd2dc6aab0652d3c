use std::collections::BTreeMap;

use safetensors::SafeTensors;
use sd_schedulers::{
    GeneratorKind, NoiseGenerator,
    rng::{ImageSeeds, NoiseError},
};
use serde::Deserialize;

use crate::{fixture, numbers};

#[derive(Deserialize)]
#[serde(default)]
struct Case {
    seeds: Vec<u64>,
    latents: [usize; 3],
    variation_seeds: Vec<u64>,
    strength: f32,
    made_at: [usize; 2],
    step_delta: i64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            latents: [0; 3],
            variation_seeds: Vec::new(),
            strength: 0.0,
            made_at: [0; 2],
            step_delta: 0,
        }
    }
}

#[test]
fn batches_are_those_of_the_web_ui() {
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&fixture("images.json")).unwrap();
    let file = fixture("images.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(cases.len(), 8);
    for (name, case) in cases {
        let count = case.seeds.len() * case.latents.iter().product::<usize>();
        let exact = case.strength == 0.0;
        let mut noise = ImageSeeds::listed(case.seeds)
            .variations(case.variation_seeds, case.strength)
            .made_at(case.made_at)
            .step_delta(case.step_delta)
            .noise(GeneratorKind::TorchCpu, case.latents)
            .unwrap();
        for draw in 0..2 {
            let (found, expected) =
                (noise.normal(count), numbers(&file, &format!("{name}/{draw}")));
            if exact || draw == 1 {
                assert_eq!(found, expected, "{name}/{draw}");
            }
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
                    "{name}/{draw}"
                );
            }
        }
    }
}

#[test]
fn a_variation_keeps_the_seed_and_counts_its_own() {
    let seeds = ImageSeeds::counting(u64::MAX, 3);
    assert_eq!(seeds.seeds(), [u64::MAX, 0, 1]);
    assert_eq!(seeds.variation_seeds(), [0; 0]);
    let varied = seeds.clone().variation(5, 0.1);
    assert_eq!(varied.seeds(), [u64::MAX; 3]);
    assert_eq!(varied.variation_seeds(), [5, 6, 7]);
    assert_eq!(seeds.clone().variation(5, 0.0), seeds);
    let listed = ImageSeeds::listed(vec![1, 2]).variations(vec![3], 0.5);
    assert_eq!((listed.seeds(), listed.variation_seeds()), (vec![1, 2], vec![3, 0]));
}

#[test]
fn batches_that_are_refused() {
    let noise = |seeds: ImageSeeds, latents| seeds.noise(GeneratorKind::Nv, latents).unwrap_err();
    let one = || ImageSeeds::counting(1, 1);
    assert_eq!(noise(ImageSeeds::counting(1, 0), [4, 8, 8]), NoiseError::NoSeeds);
    for strength in [-0.1, 1.1, f32::INFINITY] {
        let seeds = one().variation(1, strength);
        assert_eq!(noise(seeds, [4, 8, 8]), NoiseError::Strength { strength });
    }
    assert!(matches!(noise(one().variation(1, f32::NAN), [4, 8, 8]), NoiseError::Strength { .. }));
    assert_eq!(noise(one(), [4, 0, 8]), NoiseError::Shape { shape: [4, 0, 8] });
    let shape = [4, usize::MAX, 8];
    assert_eq!(noise(one().made_at([usize::MAX, 8]), [4, 8, 8]), NoiseError::Shape { shape });
}

#[test]
fn a_draw_of_another_length_is_plain() {
    let seeds = ImageSeeds::counting(1, 2).variation(5, 0.5).made_at([2, 2]);
    let mut noise = seeds.noise(GeneratorKind::TorchCpu, [4, 4, 4]).unwrap();
    let plain = GeneratorKind::TorchCpu.seeded(1).normal(30);
    assert_eq!(noise.normal(60), [plain.clone(), plain].concat());
    assert!(noise.normal(0).is_empty());
}
