use std::collections::BTreeMap;

use safetensors::SafeTensors;
use sd_schedulers::{
    BatchGenerator, GeneratorKind, NoiseGenerator,
    rng::{BrownianNoise, BrownianTree, NoiseError},
};
use serde::Deserialize;

use crate::{fixture, numbers};

#[derive(Deserialize)]
struct Case {
    shape: Vec<usize>,
    sigmas: [f64; 2],
    seeds: Vec<u64>,
    steps: Vec<[f64; 2]>,
    transform: Option<String>,
}

fn sampler(case: &Case) -> BrownianNoise {
    let initial = Box::new(BatchGenerator::seeded(GeneratorKind::TorchCpu, &case.seeds));
    let noise = BrownianNoise::new(initial, case.sigmas, &case.seeds).unwrap();
    match case.transform.as_deref() {
        Some("-ln") => noise.transform(|sigma| f64::from(-(sigma as f32).ln())).unwrap(),
        _ => noise,
    }
}

fn step(noise: &mut BrownianNoise, case: &Case, [from, to]: [f64; 2]) -> Vec<f32> {
    let mut values = vec![f32::NAN; case.shape.iter().product()];
    noise.fill_between(&mut values, from, to);
    values
}

#[test]
fn steps_are_those_of_torchsde_bit_for_bit() {
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&fixture("brownian.json")).unwrap();
    let file = fixture("brownian.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(cases.len(), 5);
    for (name, case) in cases {
        let mut noise = sampler(&case);
        let steps: Vec<f32> =
            case.steps.iter().flat_map(|&ends| step(&mut noise, &case, ends)).collect();
        assert_eq!(steps, numbers(&file, &name), "{name}");
        // Nor do they depend on what was asked for before.
        for (&ends, expected) in
            case.steps.iter().zip(steps.chunks(case.shape.iter().product())).rev()
        {
            assert_eq!(step(&mut noise, &case, ends), expected, "{name}");
            assert_eq!(step(&mut sampler(&case), &case, ends), expected, "{name}");
        }
    }
}

/// Over many numbers: the increments of disjoint intervals have the lengths as variances and are independent.
#[test]
fn increments_are_those_of_a_brownian_motion() {
    const SIZE: usize = 40_000;
    let mut tree = BrownianTree::new([0.0, 14.6146], SIZE, 11).unwrap();
    let ends = [0.03, 0.031, 0.7, 1.0, 5.5, 7.3073, 7.31, 14.0];
    let increments: Vec<Vec<f32>> =
        ends.windows(2).map(|ends| tree.increment(ends[0], ends[1]).unwrap()).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / SIZE as f64;
    let scaled: Vec<Vec<f64>> = increments
        .iter()
        .zip(ends.windows(2))
        .map(|(values, ends)| {
            let scale = (ends[1] - ends[0]).sqrt();
            values.iter().map(|&value| f64::from(value) / scale).collect()
        })
        .collect();
    // Five standard errors each.
    let bound = 5.0 / (SIZE as f64).sqrt();
    for (index, values) in scaled.iter().enumerate() {
        assert!(mean(&mut values.iter().copied()).abs() < bound);
        assert!((mean(&mut values.iter().map(|value| value * value)) - 1.0).abs() < 1.5 * bound);
        for other in &scaled[..index] {
            let products = &mut values.iter().zip(other).map(|(one, other)| one * other);
            assert!(mean(products).abs() < bound);
        }
    }
}

#[test]
fn what_is_no_interval_of_the_tree() {
    let generator = || Box::new(BatchGenerator::seeded(GeneratorKind::Nv, &[0]));
    let error = BrownianNoise::new(generator(), [0.1, 1.0], &[]).unwrap_err();
    assert_eq!(error, NoiseError::NoSeeds);
    let error = BrownianNoise::new(generator(), [1.0, 0.1], &[0]);
    assert!(error.is_ok(), "k-diffusion takes them in any order");
    assert!(matches!(
        BrownianNoise::new(generator(), [1.0, 1.0], &[0]),
        Err(NoiseError::Range { .. })
    ));
    let logarithm = BrownianNoise::new(generator(), [0.0, 1.0], &[0]).unwrap().transform(f64::ln);
    assert!(matches!(logarithm, Err(NoiseError::Range { .. })));

    let mut noise = BrownianNoise::new(generator(), [0.1, 1.0], &[0]).unwrap();
    let mut values = [f32::NAN; 4];
    noise.fill_between(&mut values, 0.5, 0.5);
    assert_eq!(values, [0.0; 4]);
    noise.fill_between(&mut values, 2.0, 1.5);
    assert_eq!(values, [0.0; 4]);
    noise.fill_between(&mut values, f64::NAN, 0.5);
    noise.fill_between(&mut [], 1.0, 0.5);
}

#[test]
fn any_generator_can_draw() {
    let draw = |kind: GeneratorKind| {
        let initial = kind.seeded(1);
        let mut noise = BrownianNoise::new(initial, [0.1, 1.0], &[1, 2]).unwrap().generator(kind);
        let mut values = [0.0; 8];
        noise.fill_between(&mut values, 1.0, 0.5);
        values
    };
    let drawn = GeneratorKind::all().map(draw);
    for (index, values) in drawn.iter().enumerate() {
        assert!(drawn[..index].iter().all(|other| other != values));
    }
    // NV follows a CUDA device.
    let close = drawn[1].iter().zip(&drawn[3]).all(|(one, other)| (one - other).abs() < 1e-5);
    assert!(close);
}
