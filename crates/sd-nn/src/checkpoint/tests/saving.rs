//! What is saved comes back bit for bit, and a failed save changes nothing.

use burn::tensor::{DType, TensorData};
use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::checkpoint::{
    SaveOptions, ShardedFiles, WeightFiles, WeightSource, find_weights, save_file, save_weights,
};

const STEM: &str = "diffusion_pytorch_model";

fn names(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(scratch.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn small_shards(max_shard_bytes: u64) -> SaveOptions {
    SaveOptions { max_shard_bytes, ..Default::default() }
}

fn three() -> Vec<TensorToSave<'static>> {
    vec![
        tensor("c", Dtype::U8, &[4], &[9; 4]),
        tensor("a", Dtype::U8, &[4], &[1; 4]),
        tensor("b", Dtype::F16, &[2], &[2; 4]),
    ]
}

#[test]
fn one_file_has_sorted_keys_aligned_data_and_metadata() {
    let scratch = Scratch::new();
    let path = save_weights(scratch.root(), STEM, three(), &Default::default()).unwrap();
    assert_eq!(names(&scratch), ["diffusion_pytorch_model.safetensors"]);
    let file = SafetensorsFile::open(&path).unwrap();
    assert_eq!(file.names(), ["b", "a", "c"]);
    assert_eq!(file.metadata().get("format").map(String::as_str), Some("pt"));
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = scratch.write("plain", b"x");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}

#[test]
fn what_is_too_large_is_sharded_with_an_index() {
    let scratch = Scratch::new();
    let index = save_weights(scratch.root(), STEM, three(), &small_shards(8)).unwrap();
    assert_eq!(
        names(&scratch),
        [
            "diffusion_pytorch_model-00001-of-00002.safetensors",
            "diffusion_pytorch_model-00002-of-00002.safetensors",
            "diffusion_pytorch_model.safetensors.index.json",
        ]
    );
    assert_eq!(
        find_weights(scratch.root(), None).unwrap().files,
        WeightFiles::Sharded(index.clone())
    );
    let files = ShardedFiles::open(index).unwrap();
    assert_eq!(files.names(), ["b", "a", "c"]);
    assert_eq!(files.read("c", DType::F32).unwrap().to_vec::<u8>().unwrap(), [9; 4]);

    let each_alone = save_weights(scratch.root(), STEM, three(), &small_shards(1)).unwrap();
    assert_eq!(ShardedFiles::open(each_alone).unwrap().shards().len(), 3);
    assert_eq!(names(&scratch).len(), 4);
}

#[test]
fn variants_have_their_own_names() {
    let scratch = Scratch::new();
    let options = SaveOptions { variant: Some("fp16".into()), ..small_shards(8) };
    save_weights(scratch.root(), "model", three(), &options).unwrap();
    assert_eq!(
        names(&scratch),
        [
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16-00002-of-00002.safetensors",
            "model.safetensors.index.fp16.json",
        ]
    );
    assert_eq!(find_weights(scratch.root(), None).unwrap().variant.as_deref(), Some("fp16"));
}

#[test]
fn a_save_replaces_the_one_before_and_nothing_else() {
    let scratch = Scratch::new();
    for name in [
        "config.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model_2.safetensors",
        "model.safetensors",
    ] {
        scratch.write(name, b"keep");
    }
    save_weights(scratch.root(), STEM, three(), &small_shards(8)).unwrap();
    let single = save_weights(scratch.root(), STEM, three(), &Default::default()).unwrap();
    assert_eq!(find_weights(scratch.root(), None).unwrap().files, WeightFiles::Single(single));
    assert_eq!(names(&scratch).len(), 5);
    save_weights(scratch.root(), STEM, three(), &small_shards(8)).unwrap();
    assert_eq!(names(&scratch).len(), 7);
    assert!(!scratch.path("diffusion_pytorch_model.safetensors").exists());
}

#[test]
fn a_failed_save_leaves_what_was_there() {
    let scratch = Scratch::new();
    let path = save_weights(scratch.root(), STEM, three(), &Default::default()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let failing = || {
        let bytes = || Err(CheckpointError::NotFound { path: "device".into() });
        let mut tensors = three();
        tensors.push(TensorToSave {
            name: "z".into(),
            dtype: Dtype::U8,
            shape: vec![1],
            bytes: Box::new(bytes),
        });
        tensors
    };
    for options in [SaveOptions::default(), small_shards(4)] {
        let error = save_weights(scratch.root(), STEM, failing(), &options).unwrap_err();
        assert!(matches!(error, CheckpointError::NotFound { .. }), "{error}");
        assert_eq!(names(&scratch), ["diffusion_pytorch_model.safetensors"]);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn wrong_lengths_and_names_are_refused() {
    let scratch = Scratch::new();
    let save = |tensors| {
        save_file(scratch.path("x.safetensors"), tensors, &Default::default()).unwrap_err()
    };
    let short = save(vec![tensor("a", Dtype::F32, &[2], &[0; 7])]);
    assert!(matches!(short, CheckpointError::WrongLength { expected: 8, found: 7, .. }), "{short}");
    let twice = save(vec![tensor("a", Dtype::U8, &[0], &[]), tensor("a", Dtype::U8, &[0], &[])]);
    assert!(matches!(twice, CheckpointError::DuplicateTensor { .. }), "{twice}");
    let reserved = save(vec![tensor("__metadata__", Dtype::U8, &[0], &[])]);
    assert!(matches!(reserved, CheckpointError::InvalidName { .. }), "{reserved}");
    let huge = save(vec![tensor("a", Dtype::F32, &[usize::MAX, 2], &[])]);
    assert!(matches!(huge, CheckpointError::WrongLength { .. }), "{huge}");
    for stem in ["../x", "", "a/b"] {
        let error = save_weights(scratch.root(), stem, three(), &Default::default()).unwrap_err();
        assert!(matches!(error, CheckpointError::InvalidName { .. }), "{error}");
    }
    assert!(names(&scratch).is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let scratch = Scratch::new();
    let file = scratch.write("file", b"");
    let error = save_weights(file.join("unet"), STEM, three(), &Default::default()).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { action: "create", .. }), "{error}");
    let error =
        save_file(scratch.path("none/x.safetensors"), three(), &Default::default()).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { action: "write", .. }), "{error}");
}

#[test]
fn a_file_can_replace_the_one_that_is_mapped() {
    let scratch = Scratch::new();
    let path = save_weights(scratch.root(), STEM, three(), &Default::default()).unwrap();
    let old = SafetensorsFile::open(&path).unwrap();
    if save_weights(
        scratch.root(),
        STEM,
        vec![tensor("a", Dtype::U8, &[1], &[5])],
        &Default::default(),
    )
    .is_ok()
    {
        assert_eq!(old.read("c", DType::F32).unwrap().to_vec::<u8>().unwrap(), [9; 4]);
        assert_eq!(SafetensorsFile::open(&path).unwrap().names(), ["a"]);
    }
}

/// Tensor data of some dtype, shape and bits.
fn any_tensor() -> impl Strategy<Value = (Dtype, DType, Vec<usize>, Vec<u8>)> {
    let dtypes = vec![
        (Dtype::F16, DType::F16, 2),
        (Dtype::BF16, DType::BF16, 2),
        (Dtype::F32, DType::F32, 4),
        (Dtype::F64, DType::F64, 8),
        (Dtype::I64, DType::I64, 8),
        (Dtype::I32, DType::I32, 4),
        (Dtype::U8, DType::U8, 1),
    ];
    (prop::sample::select(dtypes), prop::collection::vec(0usize..4, 0..4)).prop_flat_map(
        |((file, dtype, size), shape)| {
            let len = shape.iter().product::<usize>() * size;
            prop::collection::vec(any::<u8>(), len)
                .prop_map(move |bytes| (file, dtype, shape.clone(), bytes))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips_keep_every_bit(tensors in prop::collection::vec(any_tensor(), 0..6), max in 1u64..200) {
        let scratch = Scratch::new();
        let to_save = || tensors.iter().enumerate().map(|(i, (file, _, shape, bytes))| tensor(&format!("t{i}"), *file, shape, bytes)).collect();
        save_weights(scratch.root(), "model", to_save(), &small_shards(max)).unwrap();
        let source = find_weights(scratch.root(), None).unwrap().files.open().unwrap();
        for (i, (_, dtype, shape, bytes)) in tensors.iter().enumerate() {
            let data = source.read(&format!("t{i}"), if dtype.is_float() { *dtype } else { DType::F32 }).unwrap();
            prop_assert_eq!(data, TensorData::from_bytes_vec(bytes.clone(), shape.clone(), *dtype));
        }
    }

    #[test]
    fn conversions_agree_with_scalar_casts(values in prop::collection::vec(any::<f32>(), 0..50)) {
        let scratch = Scratch::new();
        let path = scratch.path("x.safetensors");
        save_file(&path, vec![tensor("x", Dtype::F32, &[values.len()], bytemuck::cast_slice(&values))], &Default::default()).unwrap();
        let file = SafetensorsFile::open(path).unwrap();
        let halves = file.read("x", DType::F16).unwrap().to_vec::<f16>().unwrap();
        let brains = file.read("x", DType::BF16).unwrap().to_vec::<bf16>().unwrap();
        for ((x, half), brain) in values.iter().zip(halves).zip(brains) {
            prop_assert_eq!(half.is_nan(), x.is_nan());
            prop_assert!(x.is_nan() || half == f16::from_f32(*x));
            prop_assert!(x.is_nan() || brain == bf16::from_f32(*x));
        }
    }
}
