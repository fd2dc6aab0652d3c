//! Reading of the reference values that `scripts/golden/schedulers.py` writes.

#![allow(dead_code)] // each test uses a part

pub(crate) mod convergence;
pub(crate) mod gaussian;
pub(crate) mod trajectories;

use std::{fs, path::PathBuf};

use safetensors::SafeTensors;

/// The bytes of a file of `tests/fixtures/schedulers`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/schedulers")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The CRC-32 of zlib.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc: u32, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The bytes of numbers, as torch stores them.
pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The f32 numbers of a tensor.
pub(crate) fn numbers(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let bytes = file.tensor(name).unwrap().data().chunks_exact(4);
    bytes.map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
}
