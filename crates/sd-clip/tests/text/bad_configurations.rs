//! Configurations that no model can be built from, and those that only look so.

use sd_clip::ClipTextConfig;
use sd_nn::config::ConfigFile;

use crate::{B, golden::fixture};

fn parse(text: &str) -> Result<ClipTextConfig, String> {
    let file = ConfigFile::from_text("text/config.json", text).unwrap();
    ClipTextConfig::from_file(&file).map_err(|error| error.to_string())
}

/// The message without the file's name.
fn error(text: &str) -> String {
    let message = parse(text).unwrap_err();
    message.strip_prefix("text/config.json: ").unwrap().to_owned()
}

#[test]
fn an_empty_file_is_the_classs_default() {
    assert_eq!(parse("{}").unwrap(), ClipTextConfig::default());
}

#[test]
fn the_class_decides_about_the_projection() {
    let plain = ClipTextConfig::open(fixture("tiny-sd1/text_encoder/config.json")).unwrap();
    assert!(plain.projection_dim.is_some() && !plain.has_projection());
    let projected = ClipTextConfig::open(fixture("texts/with-projection/config.json")).unwrap();
    assert!(projected.has_projection());
    assert!(!projected.class("CLIPTextModel").has_projection());
    assert!(plain.class("CLIPTextModelWithProjection").has_projection());
    let without = r#"{"architectures": ["CLIPTextModelWithProjection"], "projection_dim": null}"#;
    assert_eq!(error(without), "`projection_dim`: expected 1 to 65536, found 0");
}

#[test]
fn the_text_models_part_of_a_whole_clip() {
    let text = r#"{"model_type": "clip", "projection_dim": 768, "text_config": {
        "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}}"#;
    let config = parse(text).unwrap();
    assert_eq!((config.hidden_size, config.num_attention_heads), (768, 12));
    assert!(parse(r#"{"hidden_size": 64, "text_config": null}"#).unwrap().hidden_size == 64);
    assert_eq!(
        error(r#"{"text_config": {"num_attention_heads": 7}}"#),
        "`text_config.num_attention_heads`: 7 does not divide 512 (`hidden_size`)"
    );
    assert!(parse(r#"{"text_config": 3}"#).is_err());
}

#[test]
fn values_that_cannot_be_used_are_told_by_key() {
    let heads = "`num_attention_heads`: expected 1 to 512, found 0";
    assert_eq!(error(r#"{"num_attention_heads": 0}"#), heads);
    for key in [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "max_position_embeddings",
    ] {
        for value in [0, 1_000_000_000] {
            let message = error(&format!(r#"{{"{key}": {value}}}"#));
            assert!(message.starts_with(&format!("`{key}`: expected 1 to ")), "{message}");
        }
    }
    assert!(error(r#"{"hidden_act": "gleu"}"#).starts_with("`hidden_act`: unknown activation"));
    assert!(error(r#"{"layer_norm_eps": 0}"#).starts_with("`layer_norm_eps`: expected a finite"));
    assert!(error(r#"{"layer_norm_eps": "1e-5"}"#).starts_with("`layer_norm_eps` is string"));
    assert!(error(r#"{"vocab_size": 1.5}"#).starts_with("`vocab_size` is floating point"));
}

#[test]
fn building_checks_too() {
    let config = ClipTextConfig { num_attention_heads: 3, ..Default::default() };
    let error = config.init::<B>(&Default::default()).unwrap_err();
    assert_eq!(error.key, "num_attention_heads");
}
