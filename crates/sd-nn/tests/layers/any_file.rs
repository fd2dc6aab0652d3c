//! Files of any kind are told by what is in them, and directories may hold files of `torch.save`.

use std::{fs, path::PathBuf};

use burn::tensor::DType;
use sd_nn::checkpoint::{
    CheckpointError, FileKind, ForeignFormat, TorchProblem, WeightSource, open, open_weights, sniff,
};
use tempfile::TempDir;

use crate::case::fixture;

/// A file of these bytes under a name that says nothing.
fn written(scratch: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = scratch.path().join("weights");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn the_kind_is_told_by_contents_and_not_by_the_name() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, kind, tensor) in [
        ("torch/weights.safetensors", FileKind::Safetensors, "plain.f32"),
        ("torch/weights.ckpt", FileKind::Torch, "plain.f32"),
        ("torch/weights-legacy.ckpt", FileKind::TorchLegacy, "plain.f32"),
        ("gguf/weights-v3.gguf", FileKind::Gguf, "plain.F32"),
    ] {
        let path = written(&scratch, &fs::read(fixture(name)).unwrap());
        assert_eq!(sniff(&path).unwrap(), kind, "{name}");
        let file = open(&path).unwrap();
        assert_eq!(file.kind(), kind);
        assert!(file.read(tensor, DType::F32).is_ok(), "{name}");
    }
    let file = open(fixture("gguf/weights-v3.gguf")).unwrap();
    assert_eq!(file.dtype_name("quantised.Q5_1").unwrap(), "Q5_1");
    let file = open(fixture("torch/weights.ckpt")).unwrap();
    assert_eq!(file.dtype_name("plain.bf16").unwrap(), "BF16");
}

#[test]
fn what_is_none_is_called_by_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let tar = [vec![b'x'; 257], b"ustar\0".to_vec()].concat();
    for (bytes, expected) in [
        (&b"<!DOCTYPE html><html>"[..], ForeignFormat::Html),
        (b"<?xml version='1.0'?><Error/>", ForeignFormat::Xml),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", ForeignFormat::GitLfsPointer),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0", ForeignFormat::Image),
        (b"{\"error\": 404}", ForeignFormat::Json),
        (b"\x89HDF\r\n\x1a\n", ForeignFormat::Hdf5),
        (b"Rar!\x1a\x07\x01\0", ForeignFormat::Archive),
        (&tar, ForeignFormat::Archive),
        (&[0; 64], ForeignFormat::Zeros),
    ] {
        match open(written(&scratch, bytes)) {
            Err(CheckpointError::Foreign { format, expected: "weights", .. }) => {
                assert_eq!(format, expected);
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert!(matches!(open(written(&scratch, b"")), Err(CheckpointError::Empty { .. })));
    assert!(matches!(open(scratch.path()), Err(CheckpointError::IsDirectory { .. })));
    assert!(matches!(open(scratch.path().join("no")), Err(CheckpointError::NotFound { .. })));
    let error = open(written(&scratch, &[0xfe, 0xdc, 0xba, 0x98, 1, 2, 3, 4, 5])).unwrap_err();
    assert!(
        error.to_string().ends_with("it starts with [fe, dc, ba, 98, 01, 02, 03, 04, 05]"),
        "{error}"
    );
}

/// An archive with one entry, by hand: its method, and whether it is encrypted.
fn archive(name: &str, method: u16, flags: u16) -> Vec<u8> {
    let (data, len) = (b"none", 4u32);
    let fields = |version: &[u8]| {
        let mut fields = version.to_vec();
        fields.extend([flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0x21, 0]].concat());
        // Of the four bytes of data.
        fields.extend(0x6aaa_5e0a_u32.to_le_bytes());
        fields.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        fields
    };
    let mut bytes = [&b"PK\x03\x04"[..], &fields(&[20, 0]), name.as_bytes(), data].concat();
    let start = bytes.len() as u32;
    bytes
        .extend([&b"PK\x01\x02"[..], &fields(&[20, 0, 20, 0]), &[0; 14], name.as_bytes()].concat());
    let size = bytes.len() as u32 - start;
    bytes.extend(
        [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &size.to_le_bytes(), &start.to_le_bytes()]
            .concat(),
    );
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn archives_of_other_kinds_say_what_they_are() {
    let scratch = tempfile::tempdir().unwrap();
    let problem = |bytes: &[u8]| match open(written(&scratch, bytes)) {
        Err(CheckpointError::InvalidTorch { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        problem(&archive("a/data.pkl", 0, 1)),
        TorchProblem::NotStored { how: "encrypted", .. }
    ));
    assert!(matches!(
        problem(&archive("a/data.pkl", 8, 0)),
        TorchProblem::NotStored { how: "compressed", .. }
    ));
    assert!(matches!(
        problem(&archive("word/document.xml", 8, 0)),
        TorchProblem::OtherArchive { entries: 1, first } if first == "word/document.xml"
    ));
    assert!(matches!(problem(b"PK\x03\x04 and no more"), TorchProblem::BadArchive { .. }));
}

#[test]
fn components_in_files_of_torch_are_opened_single_and_sharded() {
    let scratch = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| {
        fs::copy(fixture("torch").join(from), scratch.path().join(to)).unwrap();
    };
    put("bare.bin", "diffusion_pytorch_model.bin");
    assert_eq!(open_weights(scratch.path(), None).unwrap().names().len(), 3);

    let scratch = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| {
        fs::copy(fixture("torch").join(from), scratch.path().join(to)).unwrap();
    };
    put("bare.bin", "pytorch_model-00001-of-00002.bin");
    put("untyped.pt", "pytorch_model-00002-of-00002.bin");
    let index = r#"{"weight_map": {"plain.f32": "pytorch_model-00001-of-00002.bin",
        "plain.f16": "pytorch_model-00001-of-00002.bin", "transposed": "pytorch_model-00001-of-00002.bin",
        "bits": "pytorch_model-00002-of-00002.bin"}}"#;
    fs::write(scratch.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let source = open_weights(scratch.path(), None).unwrap();
    assert_eq!(source.names().len(), 4);
    assert_eq!(source.info("transposed").unwrap().shape, [4, 6]);
    assert!(source.read("bits", DType::F32).is_ok());
}
