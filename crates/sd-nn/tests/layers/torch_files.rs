//! Files of `torch.save`, against what torch says they hold.

use burn::tensor::DType;
use sd_nn::checkpoint::{
    CheckpointError, FileDtype, PickleProblem, SafetensorsFile, TorchFile, TorchProblem,
    WeightSource,
};

use crate::case::fixture;

fn expected() -> SafetensorsFile {
    SafetensorsFile::open(fixture("torch/weights.safetensors")).unwrap()
}

fn open(name: &str) -> Result<TorchFile, CheckpointError> {
    TorchFile::open(fixture("torch").join(name))
}

/// Both sources have this tensor in the same type and shape, bit for bit.
fn assert_same(found: &dyn WeightSource, name: &str, expected: &dyn WeightSource, other: &str) {
    let info = expected.info(other).unwrap();
    assert_eq!(found.info(name), Some(info.clone()), "{name}");
    let exact = match info.dtype {
        FileDtype::F16 => DType::F16,
        FileDtype::BF16 => DType::BF16,
        FileDtype::F64 => DType::F64,
        _ => DType::F32,
    };
    for dtype in [exact, DType::F32, DType::F16] {
        let (found, expected) =
            (found.read(name, dtype).unwrap(), expected.read(other, dtype).unwrap());
        assert_eq!(found.dtype, expected.dtype, "{name}");
        assert_eq!(found.bytes, expected.bytes, "{name} as {dtype:?}");
        assert_eq!(found.shape, expected.shape, "{name}");
    }
}

#[test]
fn both_forms_hold_what_torch_put_there() {
    let expected = expected();
    for name in ["weights.ckpt", "weights-legacy.ckpt"] {
        let file = open(name).unwrap();
        let (mut names, mut wanted) = (file.names(), expected.names());
        names.sort();
        wanted.sort();
        assert_eq!(names, wanted, "{name}");
        for tensor in &names {
            assert_same(&file, tensor, &expected, tensor);
        }
    }
}

#[test]
fn numbers_beside_the_weights_are_kept_and_objects_are_not_looked_at() {
    for name in ["weights.ckpt", "weights-legacy.ckpt"] {
        let file = open(name).unwrap();
        let value = |key: &str| file.metadata().get(key).map(String::as_str);
        assert_eq!(value("global_step"), Some("875000"));
        assert_eq!(value("epoch"), Some("3"));
        assert_eq!(value("pytorch-lightning_version"), Some("1.4.2"));
        assert_eq!(value("hyper_parameters"), None);
    }
}

#[test]
fn wrappers_are_seen_through() {
    let expected = expected();
    for name in ["bare.bin", "nested.pth"] {
        let file = open(name).unwrap();
        assert_eq!(file.names().len(), 3, "{name}");
        for tensor in ["plain.f32", "plain.f16", "transposed"] {
            assert_same(&file, tensor, &expected, tensor);
        }
    }
    let file = open("embedding.pt").unwrap();
    assert_same(&file, "string_to_param.*", &expected, "plain.f32");
    assert_eq!(file.metadata().get("name").map(String::as_str), Some("style"));
    let untyped = open("untyped.pt").unwrap().read("bits", DType::F32).unwrap();
    assert_eq!(untyped.to_vec::<u16>().unwrap(), [1, 65535]);
}

#[test]
fn a_name_that_is_not_there_has_a_nearest() {
    let error =
        open("weights.ckpt").unwrap().read("parametre", DType::F32).unwrap_err().to_string();
    assert!(error.ends_with("has no tensor `parametre`, nearest is `parameter`"), "{error}");
}

/// The name of what a file asks to call.
fn forbidden(name: &str) -> String {
    match open(name) {
        Err(CheckpointError::InvalidTorch {
            problem: TorchProblem::Pickle(PickleProblem::Forbidden { name, .. }),
            ..
        }) => name,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn hostile_files_are_refused_by_the_name_of_what_they_call() {
    // The legacy files were written by the same classes.
    for end in ["", "-legacy"] {
        assert_eq!(forbidden(&format!("hostile/system{end}.ckpt")), "posix.system");
        let eval = forbidden(&format!("hostile/eval{end}.ckpt"));
        assert!(["builtins.eval", "__builtin__.eval"].contains(&eval.as_str()), "{eval}");
        let getattr = forbidden(&format!("hostile/getattr{end}.ckpt"));
        assert!(getattr.ends_with(".getattr"), "{getattr}");
    }
    assert_eq!(forbidden("hostile/beside.ckpt"), "posix.system");
    let error = open("hostile/system.ckpt").unwrap_err().to_string();
    assert!(error.contains("it asks to call `posix.system`"), "{error}");
    assert!(error.ends_with("nothing was executed"), "{error}");
}

#[test]
fn an_object_among_the_weights_is_an_error() {
    let error = open("hostile/not-a-tensor.ckpt").unwrap_err();
    let CheckpointError::InvalidTorch { problem: TorchProblem::NotTensor { name, found }, .. } =
        error
    else {
        panic!("{error}")
    };
    assert_eq!(name, "inner.number");
    assert!(found.contains("multiarray.scalar"), "{found}");
}
