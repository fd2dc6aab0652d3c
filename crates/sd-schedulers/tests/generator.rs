//! The generator of noise against torch, bit for bit.
//!
//! The reference values are written by `scripts/golden/schedulers.py`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{bytes, crc32, fixture};
use safetensors::SafeTensors;
use sd_schedulers::{NoiseGenerator, TorchCpuGenerator};

#[derive(serde::Deserialize)]
struct Index {
    draws: Vec<Draw>,
    sequence: Vec<usize>,
}

#[derive(serde::Deserialize)]
struct Draw {
    seed: String,
    size: usize,
    crc32: u32,
}

fn index() -> Index {
    serde_json::from_slice(&fixture("generator.json")).unwrap()
}

#[test]
fn single_draws() {
    let file = fixture("generator.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let index = index();
    assert_eq!(index.draws.len(), 28);
    for Draw { seed, size, crc32: expected } in index.draws {
        let values = TorchCpuGenerator::new(seed.parse().unwrap()).normal(size);
        if let Ok(reference) = file.tensor(&format!("{seed}/{size}")) {
            assert_eq!(bytes(&values), reference.data(), "seed {seed}, size {size}");
        }
        assert_eq!(crc32(&bytes(&values)), expected, "seed {seed}, size {size}");
    }
}

#[test]
fn successive_draws_share_one_state() {
    let file = fixture("generator.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let mut generator = TorchCpuGenerator::new(42);
    let values: Vec<f32> =
        index().sequence.iter().flat_map(|&size| generator.normal(size)).collect();
    assert_eq!(bytes(&values), file.tensor("sequence").unwrap().data());
}
