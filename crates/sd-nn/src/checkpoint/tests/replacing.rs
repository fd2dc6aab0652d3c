//! Saves over earlier saves: what is found is one of them, never a mixture, however a save ends.

use burn::tensor::DType;

use super::*;
use crate::checkpoint::{
    CheckpointWriter, SaveOptions, TensorSpec, WeightFiles, WeightSource, open_weights,
    save_weights,
};

const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

fn two_shards(variant: Option<&str>) -> SaveOptions {
    SaveOptions { max_shard_bytes: 4, variant: variant.map(Into::into), ..Default::default() }
}

fn one_file(variant: Option<&str>) -> SaveOptions {
    SaveOptions { max_shard_bytes: 8, ..two_shards(variant) }
}

/// Saves tensors `a` and `b`, each of one value throughout.
fn save(scratch: &Scratch, stem: &str, value: u8, options: &SaveOptions) -> PathBuf {
    let bytes = [value; 4];
    let tensors = vec![tensor("a", Dtype::U8, &[4], &bytes), tensor("b", Dtype::U8, &[4], &bytes)];
    save_weights(scratch.root(), stem, tensors, options).unwrap()
}

/// The same, but the file with this tensor cannot be put into its place.
fn fail_to_save(scratch: &Scratch, stem: &str, value: u8, options: &SaveOptions, at: &str) {
    let spec = |name: &str| TensorSpec { name: name.into(), dtype: Dtype::U8, shape: vec![4] };
    let specs = vec![spec("a"), spec("b")];
    let mut writer = CheckpointWriter::create(scratch.root(), stem, specs, options).unwrap();
    writer.write("a", &[value; 4]).unwrap();
    writer.write("b", &[value; 4]).unwrap();
    let entry = format!("\"{at}\":");
    let is_it = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "tmp")
            && String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(&entry)
    };
    let lost = files(scratch).into_iter().find(is_it).unwrap();
    std::fs::remove_file(lost).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, CheckpointError::Io { action: "replace", .. }), "{error}");
}

fn files(scratch: &Scratch) -> Vec<PathBuf> {
    std::fs::read_dir(scratch.root()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The value of each of the two tensors that are found.
fn found(scratch: &Scratch, variant: Option<&str>) -> Result<[u8; 2], CheckpointError> {
    let source = open_weights(scratch.root(), variant)?;
    Ok(["a", "b"].map(|name| source.read(name, DType::F32).unwrap().to_vec::<u8>().unwrap()[0]))
}

#[test]
fn every_way_of_saving_replaces_every_other() {
    for (stem, variant) in STEMS.into_iter().flat_map(|stem| [(stem, None), (stem, Some("fp16"))]) {
        let ways = [one_file(variant), two_shards(variant)];
        for (before, after) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let scratch = Scratch::new();
            save(&scratch, stem, 1, &ways[before]);
            save(&scratch, stem, 2, &ways[after]);
            assert_eq!(found(&scratch, variant).unwrap(), [2, 2]);
            assert_eq!(files(&scratch).len(), [1, 3][after]);
        }
    }
}

#[test]
fn shards_replaced_halfway_are_no_model() {
    for (stem, variant) in STEMS.into_iter().flat_map(|stem| [(stem, None), (stem, Some("fp16"))]) {
        let scratch = Scratch::new();
        save(&scratch, stem, 1, &two_shards(variant));
        fail_to_save(&scratch, stem, 2, &two_shards(variant), "b");
        let error = found(&scratch, variant).unwrap_err();
        assert!(matches!(error, CheckpointError::NoWeights { .. }), "{error}");
        save(&scratch, stem, 3, &two_shards(variant));
        assert_eq!(found(&scratch, variant).unwrap(), [3, 3]);
        assert_eq!(files(&scratch).len(), 3);
    }
}

#[test]
fn what_fails_before_anything_is_replaced_leaves_the_weights_before() {
    let scratch = Scratch::new();
    save(&scratch, "model", 1, &two_shards(None));
    fail_to_save(&scratch, "model", 2, &two_shards(None), "a");
    assert_eq!(found(&scratch, None).unwrap(), [1, 1]);
    assert_eq!(files(&scratch).len(), 3);
}

#[test]
fn shards_of_other_names_leave_the_weights_before_until_the_index_is_there() {
    for stem in STEMS {
        let scratch = Scratch::new();
        save(&scratch, stem, 1, &one_file(None));
        fail_to_save(&scratch, stem, 2, &two_shards(None), "b");
        assert_eq!(found(&scratch, None).unwrap(), [1, 1]);
    }
}

#[test]
fn indices_under_old_names_are_replaced_as_well() {
    let variant = Some("fp16");
    for stem in STEMS {
        for old in [
            format!("{stem}.safetensors.fp16.index.json"),
            format!("{stem}.fp16.safetensors.index.json"),
        ] {
            let before = || {
                let scratch = Scratch::new();
                let index = save(&scratch, stem, 1, &two_shards(variant));
                std::fs::rename(index, scratch.path(&old)).unwrap();
                assert_eq!(found(&scratch, variant).unwrap(), [1, 1]);
                scratch
            };
            for options in [one_file(variant), two_shards(variant)] {
                let scratch = before();
                save(&scratch, stem, 2, &options);
                assert_eq!(found(&scratch, variant).unwrap(), [2, 2]);
                assert!(!scratch.path(&old).exists());
            }
            let scratch = before();
            fail_to_save(&scratch, stem, 2, &two_shards(variant), "b");
            let error = found(&scratch, variant).unwrap_err();
            assert!(matches!(error, CheckpointError::NoWeights { .. }), "{error}");
        }
    }
}

#[test]
fn a_directory_with_the_name_of_an_index_is_no_leftover() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("diffusion_pytorch_model.safetensors.index.json")).unwrap();
    let path = save(&scratch, STEMS[0], 1, &one_file(None));
    let found = crate::checkpoint::find_weights(scratch.root(), None).unwrap();
    assert_eq!(found.files, WeightFiles::Single(path));
}
