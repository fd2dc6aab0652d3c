//! Saving, loading back, and files that belong to another model.

use burn::tensor::DType;
use sd_clip::{ClipTextConfig, EosToken};
use sd_nn::checkpoint::{CheckpointError, SaveModuleOptions, open_weights, save_module, tables};

use crate::{
    B,
    golden::{Golden, fixture},
    load,
};

#[test]
fn a_saved_model_gives_the_same_outputs_under_either_kind_of_names() {
    let golden = Golden::open("texts/with-projection/golden.safetensors");
    let ids = golden.ids("input.ids");
    for directory in ["texts/with-projection", "texts/with-projection-bare"] {
        let model = load(directory);
        let before = model.forward(&ids, EosToken::default()).unwrap();
        let original = open_weights(fixture(directory), None).unwrap();
        let saved_to = tempfile::tempdir().unwrap();
        let mut options = SaveModuleOptions::default();
        options.table = tables::clip_text(&original);
        save_module::<B, _>(&model, saved_to.path(), "model", &options).unwrap();

        let saved = open_weights(saved_to.path(), None).unwrap();
        let mut names = [original.names(), saved.names()];
        names.iter_mut().for_each(|names| names.sort());
        assert_eq!(names[0], names[1]);
        let again = model.config().init::<B>(&Default::default()).unwrap();
        let (again, _) = again.load(&saved, DType::F32).unwrap();
        let after = again.forward(&ids, EosToken::default()).unwrap();
        assert_eq!(after.last_hidden_state.into_data(), before.last_hidden_state.into_data());
        assert_eq!(after.text_embeds.unwrap().into_data(), before.text_embeds.unwrap().into_data());
    }
}

#[test]
fn weights_of_another_model_are_refused_by_key() {
    let config = ClipTextConfig::open(fixture("texts/with-projection/config.json")).unwrap();
    let source = open_weights(fixture("texts/prefixed"), None).unwrap();
    let error =
        config.init::<B>(&Default::default()).unwrap().load(&source, DType::F32).unwrap_err();
    assert!(matches!(error, CheckpointError::Incompatible { .. }), "{error}");
    assert!(error.to_string().contains("`text_projection.weight` [10, 16]"), "{error}");
}

#[test]
fn a_projection_that_the_class_does_not_have_is_only_reported() {
    let config = ClipTextConfig::open(fixture("texts/with-projection/config.json")).unwrap();
    let source = open_weights(fixture("texts/with-projection"), None).unwrap();
    let model = config.class("CLIPTextModel").init::<B>(&Default::default()).unwrap();
    let (_, report) = model.load(&source, DType::F32).unwrap();
    assert_eq!(report.unexpected[0].key, "text_projection.weight");
}
