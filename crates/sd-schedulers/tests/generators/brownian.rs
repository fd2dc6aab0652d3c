use std::collections::BTreeMap;

use safetensors::SafeTensors;
use sd_schedulers::{
    GeneratorKind,
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
    let noise = BrownianNoise::new(case.sigmas, case.shape.iter().product(), &case.seeds).unwrap();
    match case.transform.as_deref() {
        Some("-ln") => noise.transform(|sigma| f64::from(-(sigma as f32).ln())).unwrap(),
        _ => noise,
    }
}

#[test]
fn steps_are_those_of_torchsde_bit_for_bit() {
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&fixture("brownian.json")).unwrap();
    let file = fixture("brownian.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(cases.len(), 5);
    for (name, case) in cases {
        let (noise, expected) = (sampler(&case), numbers(&file, &name));
        let steps = case.steps.iter().zip(expected.chunks(case.shape.iter().product()));
        for (&[from, to], expected) in steps.clone() {
            assert_eq!(noise.noise(from, to), expected, "{name}");
        }
        // Nor do they depend on what was asked for before.
        for (&[from, to], expected) in steps.rev() {
            assert_eq!(noise.noise(from, to), expected, "{name}");
            assert_eq!(sampler(&case).noise(from, to), expected, "{name}");
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
fn noise_that_is_refused() {
    let noise = |sigmas, count, seeds: &[u64]| BrownianNoise::new(sigmas, count, seeds);
    assert_eq!(noise([0.1, 1.0], 4, &[]).unwrap_err(), NoiseError::NoSeeds);
    let error = noise([0.1, 1.0], 4, &[1, 2, 3]).unwrap_err();
    assert_eq!(error, NoiseError::Share { count: 4, images: 3 });
    for sigmas in [[1.0, 1.0], [f64::NAN, 1.0], [0.1, f64::INFINITY], [1.0, 1.0 + 1e-9]] {
        assert!(matches!(noise(sigmas, 4, &[0]), Err(NoiseError::Range { .. })));
    }
    let logarithm = noise([0.0, 1.0], 4, &[0]).unwrap().transform(f64::ln);
    assert!(matches!(logarithm, Err(NoiseError::Range { .. })));
}

#[test]
fn steps_without_a_length_or_outside() {
    // In any order, as in k-diffusion.
    let noise = BrownianNoise::new([1.0, 0.1], 4, &[0]).unwrap();
    assert_eq!(noise.noise(0.5, 0.5), [0.0; 4]);
    assert_eq!(noise.noise(2.0, 1.5), [0.0; 4]);
    assert_eq!(noise.noise(f64::NAN, 0.5).len(), 4);
    assert!(BrownianNoise::new([0.1, 1.0], 0, &[0]).unwrap().noise(1.0, 0.5).is_empty());
}

#[test]
fn any_generator_can_draw() {
    let draw = |kind: GeneratorKind| {
        let noise = BrownianNoise::new([0.1, 1.0], 8, &[1, 2]).unwrap().generator(kind);
        noise.noise(1.0, 0.5)
    };
    let drawn = GeneratorKind::all().map(draw);
    for (index, values) in drawn.iter().enumerate() {
        assert!(drawn[..index].iter().all(|other| other != values));
    }
    // NV follows a CUDA device.
    let close = drawn[1].iter().zip(&drawn[3]).all(|(one, other)| (one - other).abs() < 1e-5);
    assert!(close);
}
