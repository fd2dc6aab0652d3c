//! Files of other programs, damaged at random: never a panic, and what is cut off never passes for whole.

use std::fs;

use burn::tensor::DType;
use proptest::prelude::*;
use sd_nn::checkpoint::{WeightSource, open};

use crate::case::fixture;

const FILES: [&str; 7] = [
    "torch/bare.bin",
    "torch/weights.ckpt",
    "torch/weights-legacy.ckpt",
    "torch/embedding.pt",
    "torch/weights.safetensors",
    "gguf/weights-v2.gguf",
    "gguf/weights-v3.gguf",
];

/// Opens bytes as a file and reads all that it claims to have.
fn read_all(bytes: &[u8]) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("file");
    fs::write(&path, bytes).unwrap();
    let Ok(file) = open(path) else { return };
    for name in file.names() {
        if let Ok(data) = file.read(&name, DType::F32) {
            assert_eq!(data.shape.to_vec(), file.info(&name).unwrap().shape);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("cut");
    for (name, step) in
        [("torch/bare.bin", 7), ("torch/weights-legacy.ckpt", 7), ("gguf/weights-v3.gguf", 11)]
    {
        let bytes = fs::read(fixture(name)).unwrap();
        // A GGUF file is filled up behind its last tensor.
        for len in (0..bytes.len() - 32).step_by(step) {
            fs::write(&path, &bytes[..len]).unwrap();
            assert!(open(&path).is_err(), "{name}: {len} of {}", bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_do_not_panic(
        name in prop::sample::select(FILES.to_vec()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fs::read(fixture(name)).unwrap();
        // Behind the header of these lie elements only.
        let header = if name.ends_with("gguf") { 1500 } else { bytes.len() };
        for (at, byte) in damage {
            let at = at.index(header);
            bytes[at] = byte;
        }
        read_all(&bytes);
    }
}
