//! Saving, loading back, and files that belong to another model.

use burn::tensor::DType;
use sd_nn::checkpoint::{
    CheckpointError, Parameters, SaveModuleOptions, WeightSource, open_weights, save_module, tables,
};
use sd_vae::AutoencoderKLConfig;

use crate::{
    B,
    golden::{Golden, fixture},
    load,
};

const STEM: &str = "diffusion_pytorch_model";

/// Whether two sources have the same tensors.
fn assert_same(left: &dyn WeightSource, right: &dyn WeightSource) {
    let sorted = |source: &dyn WeightSource| {
        let mut names = source.names();
        names.sort();
        names
    };
    assert_eq!(sorted(left), sorted(right));
    for name in sorted(left) {
        assert_eq!(left.info(&name), right.info(&name), "{name}");
        let values = |source: &dyn WeightSource| source.read(&name, DType::F32).unwrap();
        assert!(values(left) == values(right), "{name}");
    }
}

#[test]
fn a_saved_model_is_the_file_that_it_was_loaded_from() {
    let golden = Golden::open("vae.safetensors");
    let (image, latents) = (golden.tensor("input.image"), golden.tensor("input.latents"));
    let vae = load("tiny-sd1/vae");
    // Used first, so that weights are in the backend's own form.
    let outputs = (vae.encode(image.clone()).unwrap().mode(), vae.decode(latents.clone()).unwrap());

    let directory = tempfile::tempdir().unwrap();
    save_module::<B, _>(&vae, directory.path(), STEM, &SaveModuleOptions::default()).unwrap();
    let saved = open_weights(directory.path(), None).unwrap();
    assert_same(&open_weights(fixture("tiny-sd1/vae"), None).unwrap(), &saved);

    let model = vae.config().init::<B>(&Default::default()).unwrap();
    let (again, _) = model.load(&saved, DType::F32).unwrap();
    assert_eq!(again.encode(image).unwrap().mode().into_data(), outputs.0.into_data());
    assert_eq!(again.decode(latents).unwrap().into_data(), outputs.1.into_data());
}

#[test]
fn old_names_are_written_with_their_table_and_new_ones_without() {
    let vae = load("vaes/legacy-attention");
    let old = open_weights(fixture("vaes/legacy-attention"), None).unwrap();
    for (source, table) in
        [("vaes/legacy-attention", tables::vae(&old)), ("vaes/sd3", Default::default())]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SaveModuleOptions::default();
        options.table = table;
        save_module::<B, _>(&vae, directory.path(), STEM, &options).unwrap();
        let saved = open_weights(directory.path(), None).unwrap();
        assert_same(&open_weights(fixture(source), None).unwrap(), &saved);
    }
}

#[test]
fn weights_of_another_model_are_refused_by_key() {
    let config = AutoencoderKLConfig::open(fixture("vaes/sd3/config.json")).unwrap();
    let source = open_weights(fixture("vaes/sd3"), None).unwrap();
    let refused = |config: AutoencoderKLConfig| {
        let model = config.init::<B>(&Default::default()).unwrap();
        let error = model.load(&source, DType::F32).unwrap_err();
        assert!(matches!(error, CheckpointError::Incompatible { .. }), "{error}");
        error.to_string()
    };
    let missing = refused(AutoencoderKLConfig { use_quant_conv: true, ..config.clone() });
    assert!(missing.contains("missing: `quant_conv.weight` [32, 32, 1, 1]"), "{missing}");
    let mis_shaped = refused(AutoencoderKLConfig { latent_channels: 4, ..config });
    let expected = "`decoder.conv_in.weight` expected [8, 4, 3, 3], found [8, 16, 3, 3]";
    assert!(mis_shaped.contains(expected), "{mis_shaped}");
}

#[test]
fn parameters_are_seen_by_their_keys() {
    let source = open_weights(fixture("tiny-sd1/vae"), None).unwrap();
    let mut paths = Vec::new();
    Parameters::<B>::visit_parameters(&load("tiny-sd1/vae"), &mut |parameter| {
        paths.push(parameter.path().to_owned());
    });
    let mut names = source.names();
    paths.sort();
    names.sort();
    assert_eq!(paths, names);
}
