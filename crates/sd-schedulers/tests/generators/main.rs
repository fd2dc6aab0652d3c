//! The generators of noise against those that they follow.
//!
//! The reference values are written by `scripts/golden/noise.py` and `scripts/golden/noise_cuda.py`.

#![allow(clippy::unwrap_used)]

mod brownian;
mod images;
mod numpy;
mod nv;
mod properties;
mod torch_cuda;

#[path = "../common/mod.rs"]
mod common;

/// The bytes of a file of `tests/fixtures/noise`.
fn fixture(name: &str) -> Vec<u8> {
    common::fixture(&format!("../noise/{name}"))
}

/// The f32 numbers of a tensor.
fn numbers(file: &safetensors::SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap().data().chunks_exact(4);
    bytes.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The i64 numbers of a tensor.
fn integers(file: &safetensors::SafeTensors<'_>, name: &str) -> Vec<i64> {
    let bytes = file.tensor(name).unwrap().data().chunks_exact(8);
    bytes.map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The CRC-32 of zlib, a byte at a time.
fn crc32(bytes: impl IntoIterator<Item = u8>) -> i64 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    let table: [u32; 256] = std::array::from_fn(|byte| (0..8).fold(byte as u32, step));
    let crc = bytes
        .into_iter()
        .fold(!0, |crc: u32, byte| (crc >> 8) ^ table[((crc ^ u32::from(byte)) & 0xff) as usize]);
    i64::from(!crc)
}
