use half::{bf16, f16};
use safetensors::SafeTensors;
use sd_schedulers::{NoiseGenerator, TorchCudaGenerator, rng::CudaDevice};

use crate::{crc32, fixture, integers, numbers};

const FILE: &str = "torch_cuda.safetensors";

/// The device that the file was made on.
fn device(bytes: &[u8]) -> CudaDevice {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let text = &metadata.metadata().as_ref().unwrap()["json"];
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let number = |key: &str| json[key].as_u64().unwrap() as u32;
    CudaDevice::new(number("multiprocessors"), number("threads_per_multiprocessor"))
}

/// What `noise_cuda.py` keeps of a draw.
fn sample<T: Copy>(values: &[T]) -> Vec<T> {
    if values.len() <= 1000 {
        return values.to_vec();
    }
    let strided = values.iter().step_by((values.len() / 256).max(1));
    values[..32].iter().chain(strided).chain(&values[values.len() - 32..]).copied().collect()
}

fn check(file: &SafeTensors<'_>, name: &str, generator: &mut TorchCudaGenerator, size: usize) {
    let values = generator.normal(size);
    assert_eq!(sample(&values), numbers(file, name), "{name}");
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    assert_eq!(crc32(bytes), integers(file, &format!("{name}/crc32"))[0], "{name}");
    let offset = integers(file, &format!("{name}/offset"))[0];
    assert_eq!(generator.offset() as i64, offset, "{name}");
}

/// Checks the draws of fresh generators whose seed and size are chosen; how many they are.
fn check_draws(chosen: impl Fn(u64, usize) -> bool) -> usize {
    let bytes = fixture(FILE);
    let (file, device) = (SafeTensors::deserialize(&bytes).unwrap(), device(&bytes));
    let mut count = 0;
    for name in file.names() {
        let Some((seed, size)) = name.split_once('/') else { continue };
        let (Ok(seed), Ok(size)) = (seed.parse(), size.parse()) else { continue };
        if chosen(seed, size) {
            check(&file, name, &mut TorchCudaGenerator::on(device, seed), size);
            count += 1;
        }
    }
    count
}

/// Of the long draws one of each length: all of them, 2 * 10^7 numbers, would take a quarter of a minute.
#[test]
fn draws_are_those_of_a_gpu_bit_for_bit() {
    let long = [(u64::MAX, 1_048_579), (42, 3_000_017)];
    let count = check_draws(|seed, size| size <= 1 << 20 || long.contains(&(seed, size)));
    assert_eq!(count, 30);
}

#[test]
fn successive_draws_move_the_offset_on() {
    let bytes = fixture(FILE);
    let (file, device) = (SafeTensors::deserialize(&bytes).unwrap(), device(&bytes));
    let mut generator = TorchCudaGenerator::on(device, 42);
    for (index, size) in integers(&file, "sequence/sizes").into_iter().enumerate() {
        check(&file, &format!("sequence/{index}"), &mut generator, size as usize);
    }
}

/// PyTorch draws in f32 and rounds.
#[test]
fn draws_of_16_bits_are_rounded_ones() {
    let bytes = fixture(FILE);
    let (file, device) = (SafeTensors::deserialize(&bytes).unwrap(), device(&bytes));
    for size in [5, 1000, 4 * 128 * 128 * 2] {
        let values = TorchCudaGenerator::on(device, 42).normal(size);
        let narrow = |name: &str, bits: Vec<u16>| {
            let name = format!("42/{size}/{name}");
            let kept: Vec<u8> = sample(&bits).iter().flat_map(|bits| bits.to_le_bytes()).collect();
            assert_eq!(kept, file.tensor(&name).unwrap().data(), "{name}");
            let bytes = bits.iter().flat_map(|bits| bits.to_le_bytes());
            assert_eq!(crc32(bytes), integers(&file, &format!("{name}/crc32"))[0], "{name}");
        };
        narrow("f16", values.iter().map(|&value| f16::from_f32(value).to_bits()).collect());
        narrow("bf16", values.iter().map(|&value| bf16::from_f32(value).to_bits()).collect());
    }
}

#[test]
fn the_usual_latents_are_the_same_on_every_card() {
    let bytes = fixture(FILE);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for row in 0..2 {
        for device in ["T4", "RTX 3060", "H200"] {
            let device = device.parse().unwrap();
            let values = TorchCudaGenerator::on(device, 42 + row).normal(4 * 64 * 64);
            assert_eq!(sample(&values), numbers(&file, &format!("rows/{row}")));
        }
    }
}
