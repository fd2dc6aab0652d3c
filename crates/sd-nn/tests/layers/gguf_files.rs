//! GGUF files, against what the `gguf` package reads from them.

use burn::tensor::DType;
use half::f16;
use sd_nn::checkpoint::{CheckpointError, GgufFile, GgufProblem, SafetensorsFile, WeightSource};

use crate::case::fixture;

#[test]
fn every_type_is_read_bit_for_bit_in_both_versions() {
    let expected = SafetensorsFile::open(fixture("gguf/weights.safetensors")).unwrap();
    for version in ["gguf/weights-v2.gguf", "gguf/weights-v3.gguf"] {
        let file = GgufFile::open(fixture(version)).unwrap();
        let (mut names, mut wanted) = (file.names(), expected.names());
        names.sort();
        wanted.sort();
        assert_eq!(names, wanted);
        for name in &names {
            let (found, expected) =
                (file.read(name, DType::F32).unwrap(), expected.read(name, DType::F32).unwrap());
            assert_eq!(found.shape, expected.shape, "{name}");
            assert_eq!(file.info(name).unwrap().shape, expected.shape.to_vec(), "{name}");
            assert!(found.bytes == expected.bytes, "{name}");
            let end = name.rsplit('.').next().unwrap();
            if name.starts_with("quantised.") {
                assert_eq!(file.ggml_type(name).unwrap().name(), end);
                let halves: Vec<f16> = expected.iter::<f32>().map(f16::from_f32).collect();
                assert!(file.read(name, DType::F16).unwrap().to_vec::<f16>().unwrap() == halves);
            }
        }
    }
}

#[test]
fn metadata_is_shown_as_text() {
    let file = GgufFile::open(fixture("gguf/weights-v3.gguf")).unwrap();
    let value = |key: &str| file.metadata().get(key).map(String::as_str);
    assert_eq!(value("general.architecture"), Some("sd1"));
    assert_eq!(value("some.flag"), Some("true"));
    assert_eq!(value("some.number"), Some("0.5"));
    assert_eq!(value("tokenizer.ggml.tokens"), None);
}

#[test]
fn other_files_are_called_by_their_name() {
    let error = GgufFile::open(fixture("torch/weights.ckpt")).unwrap_err().to_string();
    assert!(error.contains("is not a GGUF file: it looks like a zip archive"), "{error}");
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("old.gguf");
    std::fs::write(&path, b"GGUF\x01\0\0\0").unwrap();
    let error = GgufFile::open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            CheckpointError::InvalidGguf { problem: GgufProblem::Version { found: 1 }, .. }
        ),
        "{error}"
    );
    std::fs::write(&path, b"GGUF\0\0\0\x03").unwrap();
    let error = GgufFile::open(&path).unwrap_err();
    assert!(
        matches!(error, CheckpointError::InvalidGguf { problem: GgufProblem::BigEndian, .. }),
        "{error}"
    );
}
