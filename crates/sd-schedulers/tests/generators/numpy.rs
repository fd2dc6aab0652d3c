use safetensors::SafeTensors;
use sd_schedulers::{NoiseGenerator, rng::NumpyGenerator};

use crate::{crc32, fixture, integers};

const COUNTED: usize = 10_000;

fn generator(name: &str) -> NumpyGenerator {
    let words: Vec<u32> = match name {
        "700-words" => (0..700).collect(),
        _ => name.split('-').map(|word| word.parse().unwrap()).collect(),
    };
    match words[..] {
        [seed] => NumpyGenerator::new(seed.into()),
        // A seed that NumPy takes in words only.
        [low, high] => NumpyGenerator::new(u64::from(high) << 32 | u64::from(low)),
        _ => NumpyGenerator::from_words(&words),
    }
}

/// NumPy's own bits need the system's logarithm that NumPy itself had.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn numbers_are_those_of_random_state_bit_for_bit() {
    let file = fixture("numpy.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let seeds: Vec<&str> =
        file.names().into_iter().filter(|name| !name.ends_with("crc32")).collect();
    assert_eq!(seeds.len(), 6);
    for seed in seeds {
        let mut generator = generator(seed);
        let bytes: Vec<u8> =
            (0..COUNTED).flat_map(|_| generator.standard_normal().to_le_bytes()).collect();
        let kept = file.tensor(seed).unwrap().data();
        assert_eq!(bytes[..kept.len()], *kept, "seed {seed}");
        assert_eq!(crc32(bytes), integers(&file, &format!("{seed}/crc32"))[0], "seed {seed}");
    }
}

#[test]
fn draws_in_f32_are_those_of_random_state_rounded() {
    let file = fixture("numpy.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let wide = file.tensor("42").unwrap();
    let expected: Vec<f32> = wide
        .data()
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()) as f32)
        .collect();
    let mut generator = generator("42");
    // In odd shares: the second number of a pair waits for the next draw.
    let drawn: Vec<f32> =
        [7, 0, 1, 40].into_iter().flat_map(|size| generator.normal(size)).collect();
    assert_eq!(drawn, expected);
}
