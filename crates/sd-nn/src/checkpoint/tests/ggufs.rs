//! GGUF headers as strangers might send them.

use burn::tensor::DType;

use super::*;
use crate::checkpoint::{GgufFile, GgufProblem, WeightSource};

/// A header that is put together by hand.
#[derive(Default)]
struct Gguf(Vec<u8>);

impl Gguf {
    fn new(tensors: u64, values: u64) -> Self {
        Self([&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &values.to_le_bytes()].concat())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(&(text.len() as u64).to_le_bytes()).bytes(text.as_bytes())
    }

    fn tensor(self, name: &str, sizes: &[u64], code: u32, offset: u64) -> Self {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        self.text(name)
            .bytes(&(sizes.len() as u32).to_le_bytes())
            .bytes(&sizes_bytes)
            .bytes(&code.to_le_bytes())
            .bytes(&offset.to_le_bytes())
    }

    /// With this many bytes of data, aligned.
    fn data(mut self, len: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 7);
        self.0
    }
}

fn open(bytes: &[u8]) -> Result<GgufFile, CheckpointError> {
    let scratch = Scratch::new();
    GgufFile::open(scratch.write("file.gguf", bytes))
}

fn problem(bytes: &[u8]) -> GgufProblem {
    match open(bytes) {
        Err(CheckpointError::InvalidGguf { problem, .. }) => problem,
        other => panic!("expected a problem, found {other:?}"),
    }
}

#[test]
fn a_header_by_hand_is_read() {
    let bytes = Gguf::new(2, 0).tensor("a", &[3, 2], 24, 0).tensor("b", &[4], 24, 32).data(36);
    let file = open(&bytes).unwrap();
    assert_eq!(file.info("a").unwrap().shape, [2, 3]);
    assert_eq!(file.read("b", DType::F32).unwrap().to_vec::<i8>().unwrap(), [7; 4]);
}

#[test]
fn lengths_and_places_are_checked() {
    let one = |sizes: &[u64], code, offset, data| {
        problem(&Gguf::new(1, 0).tensor("a", sizes, code, offset).data(data))
    };
    assert!(matches!(one(&[5], 24, 0, 4), GgufProblem::OutOfRange { end: 5, available: 4, .. }));
    assert!(matches!(
        one(&[4], 24, 8, 32),
        GgufProblem::OutOfRange { begin: 8, alignment: 32, .. }
    ));
    assert!(matches!(one(&[4], 24, u64::MAX - 31, 32), GgufProblem::OutOfRange { .. }));
    assert!(matches!(one(&[33], 2, 0, 99), GgufProblem::Shape { dtype: "Q4_0", .. }));
    assert!(matches!(one(&[u64::MAX, 2], 24, 0, 4), GgufProblem::Shape { .. }));
    assert_eq!(one(&[4], 77, 0, 4), GgufProblem::UnknownType { tensor: "a".into(), found: 77 });
    assert!(matches!(one(&[1; 9], 24, 0, 4), GgufProblem::TooMuch { found: 9, limit: 8, .. }));
    let two = |name, offset| {
        problem(&Gguf::new(2, 0).tensor("a", &[40], 24, 0).tensor(name, &[8], 24, offset).data(96))
    };
    assert!(matches!(two("b", 32), GgufProblem::Overlap { .. }));
    assert_eq!(two("a", 64), GgufProblem::Duplicate { name: "a".into() });
}

#[test]
fn claims_that_are_too_large_cost_nothing() {
    assert!(matches!(problem(&Gguf::new(u64::MAX, 0).data(0)), GgufProblem::TooMuch { .. }));
    assert!(matches!(problem(&Gguf::new(0, u64::MAX).data(0)), GgufProblem::TooMuch { .. }));
    let text = Gguf::new(0, 1).bytes(&u64::MAX.to_le_bytes()).data(0);
    assert!(matches!(problem(&text), GgufProblem::TooMuch { .. }));
    let array = |kind: u32, count: u64| {
        let array = Gguf::new(0, 1).text("k").bytes(&9u32.to_le_bytes());
        problem(&array.bytes(&kind.to_le_bytes()).bytes(&count.to_le_bytes()).0)
    };
    for kind in [0, 5, 8, 12] {
        assert!(matches!(array(kind, u64::MAX), GgufProblem::Truncated { .. }), "{kind}");
    }
    assert!(matches!(array(99, 1), GgufProblem::UnknownValue { found: 99, .. }));
    // Arrays in arrays in arrays …
    let nested = Gguf::new(0, 1).text("k").bytes(&9u32.to_le_bytes());
    let level = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    assert!(matches!(
        problem(&nested.bytes(&level.repeat(9)).0),
        GgufProblem::UnknownValue { found: 9, .. }
    ));
    let alignment = Gguf::new(0, 1).text("general.alignment").bytes(&4u32.to_le_bytes());
    assert!(matches!(
        problem(&alignment.bytes(&7u32.to_le_bytes()).data(0)),
        GgufProblem::Alignment { found: 7, .. }
    ));
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let file = open(&Gguf::new(1, 0).tensor("a", &[256], 16, 0).data(66)).unwrap();
    let error = file.read("a", DType::F32).unwrap_err().to_string();
    assert!(error.contains("tensor `a` is quantised as IQ2_XXS, expected Q4_0"), "{error}");
}
