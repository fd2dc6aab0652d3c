use super::*;

/// The configuration of SD 2.x at a tenth of its size, with changes.
fn parse(changes: &str) -> Result<UNetConfig, UNetConfigError> {
    let mut values: serde_json::Value = serde_json::json!({
        "_class_name": "UNet2DConditionModel",
        "decay": 0.9999,
        "block_out_channels": [32, 64, 128, 128],
        "attention_head_dim": [1, 2, 4, 4],
        "cross_attention_dim": 24,
        "norm_num_groups": 8,
        "use_linear_projection": true,
        "upcast_attention": null,
    });
    let changes: serde_json::Value = serde_json::from_str(changes).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        values[key] = value.clone();
    }
    let config: UNetConfig = ConfigFile::from_text("config.json", &values.to_string())?.parse()?;
    config.validate()?;
    Ok(config)
}

#[track_caller]
fn refused(changes: &str, expected: &str) {
    let error = parse(changes).unwrap_err().to_string();
    assert!(error.contains(expected), "{changes}: {error}");
}

#[test]
fn missing_keys_have_the_defaults_of_diffusers() {
    let config = parse("{}").unwrap();
    assert_eq!(config.layers_per_block, OneOrMany::One(2));
    assert!(config.flip_sin_to_cos && !config.upcast_attention);
    let empty: UNetConfig = ConfigFile::from_text("c", "{}").unwrap().parse().unwrap();
    assert_eq!(empty, UNetConfig::default());
    empty.validate().unwrap();
}

#[test]
fn a_configuration_reads_back() {
    let config = parse(r#"{"sample_size": [64, 96], "timestep_post_act": "gelu"}"#).unwrap();
    let text = serde_json::to_string(&config).unwrap();
    let back: UNetConfig = ConfigFile::from_text("c", &text).unwrap().parse().unwrap();
    assert_eq!(back, config);
}

#[test]
fn a_null_middle_is_none_and_a_missing_one_the_default() {
    assert_eq!(parse(r#"{"mid_block_type": null}"#).unwrap().mid_block_type, None);
    let default = Some(MidBlockType::UNetMidBlock2DCrossAttn);
    assert_eq!(parse("{}").unwrap().mid_block_type, default);
}

#[test]
fn unknown_names_are_refused_with_those_that_are_supported() {
    refused(
        r#"{"down_block_types": ["DownBlock2D", "KDownBlock2D", "DownBlock2D", "DownBlock2D"]}"#,
        "`down_block_types[1]`: down block type \"KDownBlock2D\" is not supported, expected one of \
         DownBlock2D, CrossAttnDownBlock2D",
    );
    refused(r#"{"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}"#, "UNetMidBlock2DCrossAttn");
    refused(r#"{"act_fn": "mish"}"#, "`act_fn`: unknown activation \"mish\"");
    refused(
        r#"{"time_embedding_type": "fourier"}"#,
        "\"fourier\" is not supported, expected one of positional",
    );
    refused(r#"{"addition_embed_type": "image"}"#, "text_time");
    refused(r#"{"class_embed_type": "other"}"#, "simple_projection");
    refused(r#"{"resnet_time_scale_shift": "spatial"}"#, "scale_shift");
    refused(r#"{"attention_type": "gated"}"#, "`attention_type`");
}

#[test]
fn what_diffusers_refuses_or_we_lack_is_refused() {
    refused(r#"{"num_attention_heads": 8}"#, "`num_attention_heads`");
    refused(r#"{"encoder_hid_dim": 8}"#, "`encoder_hid_dim` is 8");
    refused(r#"{"encoder_hid_dim_type": "image_proj"}"#, "\"image_proj\"");
    refused(r#"{"dual_cross_attention": true}"#, "`dual_cross_attention`");
    refused(r#"{"class_embeddings_concat": true}"#, "`class_embeddings_concat`");
    refused(r#"{"norm_num_groups": null}"#, "`norm_num_groups` is missing");
    refused(r#"{"cross_attention_dim": null}"#, "`cross_attention_dim` is missing");
    refused(r#"{"cross_attention_dim": [24, 24, 24, 32]}"#, "one width");
    refused(
        r#"{"class_embed_type": "projection"}"#,
        "`projection_class_embeddings_input_dim` is missing",
    );
    refused(r#"{"addition_embed_type": "text_time"}"#, "`addition_time_embed_dim` is missing");
    refused(
        r#"{"addition_embed_type": "text_time", "addition_time_embed_dim": 8}"#,
        "`projection_class_embeddings_input_dim` is missing",
    );
}

#[test]
fn lists_have_a_value_for_each_level() {
    refused(r#"{"up_block_types": ["UpBlock2D"]}"#, "`up_block_types` has 1 values, expected 4");
    refused(r#"{"block_out_channels": [32, 64]}"#, "`block_out_channels` has 2 values, expected 4");
    refused(r#"{"down_block_types": []}"#, "`down_block_types` is a list of 0");
    refused(r#"{"layers_per_block": [2, 2]}"#, "`layers_per_block` has 2");
    refused(r#"{"attention_head_dim": [1, 2, 4]}"#, "`attention_head_dim` has 3");
    refused(r#"{"only_cross_attention": [true]}"#, "`only_cross_attention` has 1");
    refused(r#"{"cross_attention_dim": [24]}"#, "`cross_attention_dim` has 1");
    refused(r#"{"transformer_layers_per_block": [1, 2]}"#, "`transformer_layers_per_block` has 2");
    refused(
        r#"{"transformer_layers_per_block": [1, [1, 1], 1, 1]}"#,
        "`reverse_transformer_layers_per_block` is missing",
    );
    refused(
        r#"{"transformer_layers_per_block": [1, [1, 1, 1], 1, 1], "reverse_transformer_layers_per_block": [1, 1, 1, 1]}"#,
        "`transformer_layers_per_block[1]` has 3 values, expected 2",
    );
    refused(
        r#"{"transformer_layers_per_block": [1, 1, 1, []], "reverse_transformer_layers_per_block": [1, 1, 1, 1]}"#,
        "`transformer_layers_per_block[3]` has 0 values",
    );
    refused(
        r#"{"reverse_transformer_layers_per_block": [1, [1, 1], 1, 1]}"#,
        "`reverse_transformer_layers_per_block[1]` has 2 values, expected 3",
    );
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    refused(r#"{"norm_num_groups": 0}"#, "`norm_num_groups`: 0 does not divide");
    refused(r#"{"norm_num_groups": 7}"#, "`norm_num_groups`: 7 does not divide 32 channels");
    refused(r#"{"attention_head_dim": 0}"#, "`attention_head_dim`: 0 does not divide");
    refused(
        r#"{"attention_head_dim": [3, 2, 4, 4]}"#,
        "`attention_head_dim`: 3 does not divide 32",
    );
    refused(r#"{"in_channels": 0}"#, "`in_channels` is 0, expected 1 to 65536");
    refused(r#"{"block_out_channels": [32, 64, 0, 128]}"#, "`block_out_channels[2]` is 0");
    refused(r#"{"layers_per_block": 0}"#, "`layers_per_block` is 0");
    refused(r#"{"conv_in_kernel": 4}"#, "`conv_in_kernel` is 4, expected an odd number");
    refused(r#"{"conv_out_kernel": 0}"#, "`conv_out_kernel` is 0");
    refused(r#"{"downsample_padding": 2}"#, "`downsample_padding` is 2");
    refused(r#"{"norm_eps": -1}"#, "`norm_eps` is -1");
    refused(r#"{"mid_block_scale_factor": 0}"#, "`mid_block_scale_factor` is 0");
    refused(r#"{"freq_shift": 16}"#, "`freq_shift` is 16");
    refused(r#"{"num_class_embeds": 0}"#, "`num_class_embeds` is 0");
    let config = UNetConfig { freq_shift: f64::NAN, ..Default::default() };
    assert!(config.validate().unwrap_err().to_string().contains("`freq_shift` is NaN"));
}

/// Sizes that would take all memory are refused before anything is made of them.
#[test]
fn absurd_sizes_are_refused() {
    refused(r#"{"block_out_channels": [32, 64, 128, 1000000000]}"#, "`block_out_channels[3]`");
    refused(r#"{"in_channels": 1000000000}"#, "`in_channels`");
    refused(r#"{"layers_per_block": 1000000}"#, "`layers_per_block` is 1000000");
    refused(
        r#"{"transformer_layers_per_block": 1000000}"#,
        "`transformer_layers_per_block[0]` is 1000000",
    );
    refused(
        r#"{"transformer_layers_per_block": [256, 256, 256, 256], "layers_per_block": 3}"#,
        "`transformer_layers_per_block` is 5632 blocks in all",
    );
    refused(r#"{"cross_attention_dim": 1000000000000}"#, "`cross_attention_dim`");
    refused(r#"{"time_embedding_dim": 1000000000000}"#, "`time_embedding_dim`");
    refused(r#"{"num_class_embeds": 1000000000000}"#, "`num_class_embeds`");
    refused(r#"{"time_cond_proj_dim": 1000000000000}"#, "`time_cond_proj_dim`");
}

#[test]
fn values_of_the_wrong_type_are_told_with_their_key() {
    refused(r#"{"in_channels": "4"}"#, "`in_channels`");
    refused(r#"{"in_channels": -4}"#, "`in_channels`");
    refused(r#"{"use_linear_projection": 1}"#, "`use_linear_projection`");
    refused(r#"{"block_out_channels": 320}"#, "`block_out_channels`");
    refused(r#"{"act_fn": null}"#, "`act_fn`");
}
