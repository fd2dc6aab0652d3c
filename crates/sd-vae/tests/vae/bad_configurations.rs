//! Configurations that no model can be built from, and those that only look so.

use sd_nn::config::ConfigFile;
use sd_vae::AutoencoderKLConfig;

use crate::{B, golden::fixture};

fn parse(text: &str) -> Result<AutoencoderKLConfig, String> {
    let file = ConfigFile::from_text("vae/config.json", text).unwrap();
    AutoencoderKLConfig::from_file(&file).map_err(|error| error.to_string())
}

/// The message without the file's name.
fn error(text: &str) -> String {
    let message = parse(text).unwrap_err();
    message.strip_prefix("vae/config.json: ").unwrap().to_owned()
}

#[test]
fn an_empty_file_is_the_classs_default() {
    let config = parse("{}").unwrap();
    assert_eq!(config, AutoencoderKLConfig::default());
    assert_eq!((config.block_out_channels, config.scaling_factor), (vec![64], 0.18215));
    assert!(config.force_upcast && config.use_quant_conv && config.mid_block_add_attention);
}

#[test]
fn shipped_files_are_read_as_they_stand() {
    let config = AutoencoderKLConfig::open(fixture("vaes/sd3/config.json")).unwrap();
    assert_eq!((config.latent_channels, config.shift_factor), (16, Some(0.0609)));
    assert!(!config.use_quant_conv && !config.use_post_quant_conv);
    let nulls =
        r#"{"force_upcast": null, "shift_factor": null, "latents_mean": null, "_x": 1, "y": 2}"#;
    assert!(!parse(nulls).unwrap().force_upcast);
    assert_eq!(parse(r#"{"sample_size": [32, 64]}"#).unwrap().sample_size.width, 64);
    assert!(parse(r#"{"act_fn": "SiLU"}"#).is_ok());
}

#[test]
fn a_configuration_survives_being_written() {
    let config = AutoencoderKLConfig::open(fixture("vaes/sd3/config.json")).unwrap();
    assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn groups_have_to_divide_every_level() {
    assert_eq!(error(r#"{"norm_num_groups": 0}"#), "`norm_num_groups`: expected 1 to 64, found 0");
    assert_eq!(
        error(
            r#"{"norm_num_groups": 32, "block_out_channels": [64, 80],
                "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
                "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}"#
        ),
        "`norm_num_groups`: 32 does not divide 80 (`block_out_channels[1]`)"
    );
}

#[test]
fn lists_have_one_entry_for_each_level() {
    let none = "`block_out_channels`: expected 1 to 12 entries, found 0";
    assert_eq!(error(r#"{"block_out_channels": []}"#), none);
    let many = vec!["32"; 70].join(",");
    assert!(error(&format!(r#"{{"block_out_channels": [{many}]}}"#)).contains("found 70"));
    let missing = "`down_block_types`: expected 2 entries, found 1";
    assert_eq!(error(r#"{"block_out_channels": [32, 32]}"#), missing);
    assert_eq!(error(r#"{"up_block_types": []}"#), "`up_block_types`: expected 1 entries, found 0");
    assert_eq!(
        error(r#"{"latents_mean": [0, 0, 0, 0], "latents_std": [1, 1, 1]}"#),
        "`latents_std`: expected 4 entries, found 3"
    );
}

#[test]
fn unknown_names_are_told_with_what_is_supported() {
    assert_eq!(
        error(r#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#),
        "`down_block_types[0]`: \"AttnDownEncoderBlock2D\" is not supported, expected DownEncoderBlock2D"
    );
    assert_eq!(
        error(r#"{"up_block_types": ["UpBlock2D"]}"#),
        "`up_block_types[0]`: \"UpBlock2D\" is not supported, expected UpDecoderBlock2D"
    );
    let activation = error(r#"{"act_fn": "sliu"}"#);
    assert!(activation.starts_with("`act_fn`: unknown activation \"sliu\""), "{activation}");
    assert_eq!(
        error(r#"{"_class_name": "AutoencoderTiny"}"#),
        "`_class_name`: \"AutoencoderTiny\" is not supported, expected AutoencoderKL"
    );
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let giant = 1_000_000_000;
    for key in ["in_channels", "out_channels", "latent_channels", "layers_per_block"] {
        let message = error(&format!(r#"{{"{key}": {giant}}}"#));
        assert!(message.starts_with(&format!("`{key}`: expected 1 to")), "{message}");
        assert!(error(&format!(r#"{{"{key}": 0}}"#)).ends_with("found 0"));
    }
    let message = error(&format!(r#"{{"block_out_channels": [{giant}]}}"#));
    assert!(message.starts_with("`block_out_channels[0]`"), "{message}");
    assert!(error(r#"{"sample_size": [32, 0]}"#).starts_with("`sample_size`"));
}

#[test]
fn scaling_has_to_be_invertible() {
    for text in [
        r#"{"scaling_factor": 0}"#,
        r#"{"scaling_factor": -1.5}"#,
        r#"{"latents_mean": [0, 0, 0, 0], "latents_std": [1, 0, 1, 1]}"#,
    ] {
        assert!(error(text).contains("expected a finite number above 0"), "{text}");
    }
    let alone = error(r#"{"latents_mean": [0, 0, 0, 0]}"#);
    assert_eq!(alone, "`latents_mean`: cannot be used without `latents_std`");
    assert_eq!(
        error(r#"{"latents_mean": [0,0,0,0], "latents_std": [1,1,1,1], "shift_factor": 0.1}"#),
        "`shift_factor`: cannot be used together with `latents_mean`"
    );
}

#[test]
fn wrong_types_are_told_by_key() {
    let message = error(r#"{"block_out_channels": [32, "64"]}"#);
    assert!(message.starts_with("`block_out_channels[1]` is string \"64\""), "{message}");
    assert!(error(r#"{"layers_per_block": [2, 2]}"#).starts_with("`layers_per_block` is sequence"));
}

#[test]
fn building_checks_too() {
    let config = AutoencoderKLConfig { norm_num_groups: 0, ..Default::default() };
    let error = config.init::<B>(&Default::default()).unwrap_err();
    assert_eq!(error.key, "norm_num_groups");
    let config = AutoencoderKLConfig { scaling_factor: f64::NAN, ..Default::default() };
    assert!(config.init::<B>(&Default::default()).is_err());
}
