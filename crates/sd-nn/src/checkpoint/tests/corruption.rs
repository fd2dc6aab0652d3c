//! Random damage never panics and never passes for a whole file.

use burn::tensor::DType;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::{ForeignFormat, WeightSource};

/// A small valid file.
fn valid() -> Vec<u8> {
    let json = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{},{}}}"#,
        entry("conv.weight", "F16", "[2,3]", 0, 12),
        entry("conv.bias", "F32", "[2]", 12, 20)
    );
    file(&json, 20)
}

#[test]
fn every_truncation_is_an_error() {
    let (scratch, bytes) = (Scratch::new(), valid());
    scratch.open(&bytes).unwrap();
    for len in 0..bytes.len() {
        let error = scratch.open(&bytes[..len]).unwrap_err();
        let expected = matches!(
            error,
            CheckpointError::Empty { .. }
                | CheckpointError::InvalidHeader { .. }
                | CheckpointError::Foreign { format: ForeignFormat::Text, .. }
        );
        assert!(expected, "{len}: {error}");
    }
}

#[test]
fn every_extension_is_an_error() {
    let (scratch, mut bytes) = (Scratch::new(), valid());
    bytes.push(0);
    assert_eq!(scratch.problem(&bytes), HeaderProblem::TrailingData { described: 20, found: 21 });
}

/// Reads all that a file claims to have.
fn read_all(file: &SafetensorsFile) {
    for name in file.names() {
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
            if let Ok(data) = file.read(&name, dtype) {
                assert_eq!(data.shape.to_vec(), file.info(&name).unwrap().shape);
            }
        }
    }
}

/// Whatever we accept, the reference implementation accepts as well.
fn check(bytes: &[u8]) {
    if let Ok(file) = Scratch::new().open(bytes) {
        read_all(&file);
        safetensors::SafeTensors::deserialize(bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn random_headers_do_not_panic(json in "[{}\\[\\]\":,a-f0-9 _.-]{0,120}", data in 0usize..40) {
        check(&file(&json, data));
    }

    #[test]
    fn damaged_files_do_not_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = valid();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn random_tensors_do_not_panic(
        tensors in prop::collection::vec(
            (
                "[ab_]{1,2}",
                prop::sample::select(vec!["F32", "F16", "BF16", "F64", "I64", "U8", "BOOL", "F4", "F8_E4M3", "C64", "X"]),
                prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..4),
                prop_oneof![0u64..40, any::<u64>()],
                prop_oneof![0u64..40, any::<u64>()],
            ),
            0..4,
        ),
        data in 0usize..40,
    ) {
        let entries: Vec<String> = tensors
            .iter()
            .map(|(name, dtype, shape, begin, end)| entry(name, dtype, &format!("{shape:?}"), *begin, *end))
            .collect();
        check(&file(&format!("{{{}}}", entries.join(",")), data));
    }

    #[test]
    fn contiguous_tensors_are_accepted_as_the_reference_accepts_them(
        tensors in prop::collection::vec((prop::sample::select(vec![("F32", 4), ("F16", 2), ("U8", 1), ("I64", 8)]), 0u64..6), 0..5),
    ) {
        let mut end = 0;
        let entries: Vec<String> = tensors
            .iter()
            .enumerate()
            .map(|(i, ((dtype, size), count))| {
                let begin = end;
                end += size * count;
                entry(&format!("t{i}"), dtype, &format!("[{count}]"), begin, end)
            })
            .collect();
        let bytes = file(&format!("{{{}}}", entries.join(",")), end as usize);
        let file = Scratch::new().open(&bytes).unwrap();
        prop_assert_eq!(file.names().len(), tensors.len());
        read_all(&file);
        prop_assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
    }
}
