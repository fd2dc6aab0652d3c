//! The configurations of diffusers and transformers that names and shapes of tensors tell, and the family's own numbers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Component, ModelFamily, Prediction, unet::UNetStructure};
use crate::checkpoint::WeightSource;

/// Channels of a head, in all families but the first.
const HEAD: usize = 64;

/// The version that configurations are written for; what they leave out are defaults.
const VERSION: &str = "0.42.1";

/// The configuration of a U-Net.
pub(super) fn unet(
    unet: &Component,
    structure: &UNetStructure,
    family: ModelFamily,
    prediction: Prediction,
) -> Value {
    let channels: Vec<usize> = (0..structure.down.len())
        .map(|level| {
            unet.size(&format!("down_blocks.{level}.resnets.0.conv2.weight"), 0).unwrap_or(0)
        })
        .collect();
    let has = |levels: &[super::unet::Level], cross: &str, plain: &str| -> Vec<String> {
        let name = |level: &super::unet::Level| {
            if level.attention.iter().any(|has| *has) { cross } else { plain }
        };
        levels.iter().map(|level| name(level).to_owned()).collect()
    };
    let first = first_attention(unet);
    let attention =
        |end: &str, at| first.as_ref().and_then(|path| unet.size(&format!("{path}.{end}"), at));
    let context = attention("transformer_blocks.0.attn2.to_k.weight", 1).unwrap_or(0);
    let mut config = header("UNet2DConditionModel");
    let layers = structure.down.first().map_or(0, |level| level.attention.len());
    config.extend(object(json!({
        "in_channels": unet.size("conv_in.weight", 1),
        "out_channels": unet.size("conv_out.weight", 0),
        "sample_size": sample_size(family, prediction),
        "block_out_channels": channels,
        "down_block_types": has(&structure.down, "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": has(&structure.up, "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": layers,
        "cross_attention_dim": context,
        "attention_head_dim": heads(family, &channels),
        "norm_num_groups": 32,
    })));
    let depths = depths(unet, structure);
    if depths != 1 {
        config.insert("transformer_layers_per_block".into(), depths);
    }
    let linear = first.as_ref().and_then(|path| unet.info(&format!("{path}.proj_in.weight")));
    if linear.is_some_and(|info| info.shape.len() == 2) {
        config.insert("use_linear_projection".into(), json!(true));
    }
    if family == ModelFamily::Sd2 && prediction == Prediction::Velocity {
        // The models of 768 pixels overflow in f16 otherwise.
        config.insert("upcast_attention".into(), json!(true));
    }
    if let Some(width) = unet.size("add_embedding.linear_1.weight", 1) {
        config.insert("addition_embed_type".into(), json!("text_time"));
        config.insert("addition_time_embed_dim".into(), json!(256));
        config.insert("projection_class_embeddings_input_dim".into(), json!(width));
    }
    if let Some(classes) = unet.size("class_embedding.weight", 0) {
        config.insert("num_class_embeds".into(), json!(classes));
    }
    match structure.mid_resnets(&unet.names) {
        0 => _ = config.insert("mid_block_type".into(), Value::Null),
        1 => _ = config.insert("mid_block_type".into(), json!("UNetMidBlock2D")),
        _ => {}
    }
    if let Some(width) = unet.size("time_embedding.cond_proj.weight", 1) {
        config.insert("time_cond_proj_dim".into(), json!(width));
    }
    let only_cross = only_cross(unet, structure, context);
    if only_cross.contains(&true) {
        config.insert("only_cross_attention".into(), json!(only_cross));
    }
    Value::Object(config)
}

/// The path of the first attention.
fn first_attention(unet: &Component) -> Option<String> {
    let end = ".transformer_blocks.0.attn2.to_k.weight";
    let mut paths: Vec<&str> =
        unet.names.iter().filter_map(|name| name.strip_suffix(end)).collect();
    paths.sort_unstable();
    paths.first().map(|path| (*path).to_owned())
}

/// Transformer layers: one number when all levels that have any have the same, else one for each level.
///
/// diffusers takes the last number for the middle block, and writes 1 where a level has none.
fn depths(unet: &Component, structure: &UNetStructure) -> Value {
    let depth = |path: String| {
        let prefix = format!("{path}.attentions.0.transformer_blocks.");
        let layer = |name: &String| Some(name.strip_prefix(&prefix)?.split('.').next()?.to_owned());
        unet.names.iter().filter_map(layer).collect::<BTreeSet<_>>().len()
    };
    let mut levels: Vec<usize> =
        (0..structure.down.len()).map(|level| depth(format!("down_blocks.{level}"))).collect();
    let middle = depth("mid_block".into());
    let distinct: BTreeSet<usize> =
        levels.iter().copied().chain([middle]).filter(|depth| *depth > 0).collect();
    if distinct.len() <= 1 {
        return json!(distinct.first().copied().unwrap_or(1));
    }
    if let Some(last @ 0) = levels.last_mut() {
        *last = middle;
    }
    levels.into_iter().map(|depth| depth.max(1)).collect()
}

/// For each level, whether what should be self-attention looks at the context as well.
fn only_cross(unet: &Component, structure: &UNetStructure, context: usize) -> Vec<bool> {
    let level = |level: usize| {
        let block = format!("down_blocks.{level}.attentions.0.transformer_blocks.0.attn1");
        let (key, query) = (
            unet.size(&format!("{block}.to_k.weight"), 1),
            unet.size(&format!("{block}.to_q.weight"), 1),
        );
        // A level without attention says nothing.
        key.map(|key| Some(key) != query && key == context)
    };
    let told: Vec<Option<bool>> = (0..structure.down.len()).map(level).collect();
    if told.iter().flatten().any(|only| *only) {
        // The first level of the upscaler has none, and its configuration says true.
        told.iter().map(|only| only.unwrap_or(true)).collect()
    } else {
        vec![false; told.len()]
    }
}

/// Heads: their number, which is what diffusers calls `attention_head_dim`.
fn heads(family: ModelFamily, channels: &[usize]) -> Value {
    let eight = family == ModelFamily::Sd2Upscaler || !(family.is_sd2() || family.is_xl());
    match eight {
        true => json!(8),
        false => channels.iter().map(|channels| (channels / HEAD).max(1)).collect(),
    }
}

/// The size of latents for which a model was made, in elements.
fn sample_size(family: ModelFamily, prediction: Prediction) -> usize {
    match (family, prediction) {
        (ModelFamily::Sd2, Prediction::Velocity) => 96,
        (ModelFamily::Sd2Upscaler, _) => 128,
        _ if family.is_xl() => 128,
        _ => 64,
    }
}

/// The configuration of an autoencoder of so many levels.
pub(super) fn vae(vae: &Component, levels: usize, family: Option<ModelFamily>) -> Value {
    let channels: Vec<usize> = (0..levels)
        .map(|level| {
            vae.size(&format!("encoder.down_blocks.{level}.resnets.0.conv2.weight"), 0).unwrap_or(0)
        })
        .collect();
    let layers = (0..)
        .take_while(|layer| {
            vae.info(&format!("encoder.down_blocks.0.resnets.{layer}.conv1.weight")).is_some()
        })
        .count();
    let (scaling, size) = match family {
        Some(ModelFamily::Sd2Upscaler) => (0.08333, 256),
        Some(family) if family.is_xl() => (0.13025, 1024),
        _ => (0.18215, 512),
    };
    let mut config = header("AutoencoderKL");
    config.extend(object(json!({
        "in_channels": vae.size("encoder.conv_in.weight", 1),
        "out_channels": vae.size("decoder.conv_out.weight", 0),
        "block_out_channels": channels,
        "down_block_types": vec!["DownEncoderBlock2D"; levels],
        "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "layers_per_block": layers,
        "latent_channels": vae.size("decoder.conv_in.weight", 1),
        "norm_num_groups": 32,
        "sample_size": size,
        "scaling_factor": scaling,
    })));
    for (key, name) in
        [("use_quant_conv", "quant_conv"), ("use_post_quant_conv", "post_quant_conv")]
    {
        if vae.info(&format!("{name}.weight")).is_none() {
            config.insert(key.into(), json!(false));
        }
    }
    Value::Object(config)
}

/// The configuration of a text encoder; `open` says that it is one of OpenCLIP's.
pub(super) fn text(text: &Component, open: bool) -> Value {
    let size = |name: &str, at| text.size(&format!("text_model.{name}"), at);
    let hidden = size("embeddings.token_embedding.weight", 1).unwrap_or(0);
    // The widths of H and bigG, which are OpenCLIP's under any names.
    let open = open || matches!(hidden, 1024 | 1280);
    let layers = (0..)
        .take_while(|layer| {
            size(&format!("encoder.layers.{layer}.layer_norm1.weight"), 0).is_some()
        })
        .count();
    let projection = text.size("text_projection.weight", 0);
    let mut config = Map::new();
    config.extend(object(json!({
        "architectures": [text.class],
        "model_type": "clip_text_model",
        "hidden_size": hidden,
        "intermediate_size": size("encoder.layers.0.mlp.fc1.weight", 0),
        "num_hidden_layers": layers,
        "num_attention_heads": (hidden / HEAD).max(1),
        "hidden_act": if open { "gelu" } else { "quick_gelu" },
        // Of OpenCLIP's H the configuration of 2.x says 512, which nothing uses.
        "projection_dim": projection.unwrap_or(if open { 512 } else { hidden }),
        "vocab_size": size("embeddings.token_embedding.weight", 0),
        "max_position_embeddings": size("embeddings.position_embedding.weight", 0),
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    })));
    Value::Object(config)
}

/// The configuration of the scheduler that a family is published with.
pub(super) fn scheduler(family: ModelFamily, prediction: Prediction, zero_snr: bool) -> Value {
    let class = match family {
        ModelFamily::Sd2Upscaler => "DDIMScheduler",
        _ if family.is_xl() => "EulerDiscreteScheduler",
        _ if prediction == Prediction::Velocity => "DDIMScheduler",
        _ => "PNDMScheduler",
    };
    let (start, end) =
        if family == ModelFamily::Sd2Upscaler { (0.0001, 0.02) } else { (0.00085, 0.012) };
    let mut config = header(class);
    config.extend(object(json!({
        "beta_start": start,
        "beta_end": end,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": prediction.name(),
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "clip_sample": false,
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
    })));
    if zero_snr {
        config.insert("rescale_betas_zero_snr".into(), json!(true));
        config.insert("timestep_spacing".into(), json!("trailing"));
    }
    Value::Object(config)
}

/// The configuration of the scheduler whose noise the upscaler adds to pictures.
pub(super) fn low_res_scheduler() -> Value {
    let mut config = header("DDPMScheduler");
    config.extend(object(json!({
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "clip_sample": true,
        "variance_type": "fixed_small",
    })));
    Value::Object(config)
}

/// The class of a family's pipeline.
pub(super) fn pipeline_class(family: ModelFamily) -> &'static str {
    match family {
        ModelFamily::Sd1 | ModelFamily::Sd2 => "StableDiffusionPipeline",
        ModelFamily::Sd1Inpainting | ModelFamily::Sd2Inpainting => "StableDiffusionInpaintPipeline",
        ModelFamily::Sd1InstructPix2Pix => "StableDiffusionInstructPix2PixPipeline",
        ModelFamily::Sd2Depth => "StableDiffusionDepth2ImgPipeline",
        ModelFamily::Sd2Upscaler => "StableDiffusionUpscalePipeline",
        ModelFamily::XlBase => "StableDiffusionXLPipeline",
        ModelFamily::XlInpainting => "StableDiffusionXLInpaintPipeline",
        ModelFamily::XlRefiner => "StableDiffusionXLImg2ImgPipeline",
    }
}

pub(super) fn header(class: &str) -> Map<String, Value> {
    object(json!({ "_class_name": class, "_diffusers_version": VERSION }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
