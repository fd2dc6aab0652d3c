//! Where in a single file the components lie, and which of its tensors theirs are.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{CheckpointError, WeightSource},
    Component, ModelFamily, Prediction, configs, others,
    piece::{Part, Piece},
    unet::UNetStructure,
};

/// What the prefix of a U-Net's tensors is in whole models, and in files of U-Nets alone.
pub(super) const UNET_PREFIXES: [&str; 2] = ["model.diffusion_model.", ""];

/// The same of autoencoders.
const VAE_PREFIXES: [&str; 3] = ["first_stage_model.", "vae.", ""];

/// Under which the averaged weights of a U-Net lie, with the dots taken out of their names.
pub(super) const EMA_PREFIX: &str = "model_ema.";

/// The layer of OpenCLIP's H that 2.x does not use: its text encoder ends with the last but one.
pub(super) const UNUSED_LAYER: &str = "text_model.encoder.layers.23.";

/// What the file itself says about the prediction.
pub(super) fn told(
    file: &dyn WeightSource,
    metadata: &BTreeMap<String, String>,
) -> Option<Prediction> {
    if file.info("v_pred").is_some() {
        return Some(Prediction::Velocity);
    }
    match metadata.get("modelspec.prediction_type")?.as_str() {
        "v" | "v_prediction" => Some(Prediction::Velocity),
        "epsilon" | "eps" => Some(Prediction::Noise),
        _ => None,
    }
}

/// What diffusers assumes: of 2.x's text-to-image models, only the one of 875000 steps predicts noise.
pub(super) fn assumed(
    family: Option<ModelFamily>,
    metadata: &BTreeMap<String, String>,
) -> Prediction {
    let steps = metadata.get("global_step").map(String::as_str);
    match family {
        Some(ModelFamily::Sd2) if steps != Some("875000") => Prediction::Velocity,
        Some(ModelFamily::Sd2Upscaler) => Prediction::Velocity,
        _ => Prediction::Noise,
    }
}

pub(super) fn unet_prefix(file: &dyn WeightSource) -> Option<&'static str> {
    UNET_PREFIXES.into_iter().find(|prefix| {
        let has = |name: &str| file.info(&format!("{prefix}{name}")).is_some();
        // A ControlNet has the one, and no way out.
        has("input_blocks.0.0.weight") && has("out.2.weight")
    })
}

pub(super) fn vae_prefix(file: &dyn WeightSource) -> Option<&'static str> {
    VAE_PREFIXES.into_iter().find(|prefix| {
        let has = |name: &str| file.info(&format!("{prefix}{name}")).is_some();
        has("decoder.conv_in.weight") && has("decoder.mid.block_1.conv1.weight")
    })
}

/// Parts of names that LDM's U-Nets have and those of diffusers do not: what keeps one was not understood.
const LDM_UNET: [&str; 10] = [
    "input_blocks",
    "middle_block",
    "output_blocks",
    "time_embed",
    "label_emb",
    "out",
    "in_layers",
    "out_layers",
    "emb_layers",
    "skip_connection",
];

/// The same of autoencoders.
const LDM_VAE: [&str; 6] = ["down", "up", "mid", "block", "nin_shortcut", "norm_out"];

fn no_rule(file: &dyn WeightSource, key: String, component: &'static str) -> CheckpointError {
    CheckpointError::NoPlace { origin: file.origin(), key, component }
}

/// The names of a file that start so, without the start.
fn stripped(file: &dyn WeightSource, prefix: &str) -> Vec<String> {
    let names = file.names().into_iter();
    names.filter_map(|name| name.strip_prefix(prefix).map(Into::into)).collect()
}

/// The U-Net; with its averaged weights, if `ema`.
pub(super) fn unet(
    file: &Arc<dyn WeightSource>,
    prefix: &str,
    family: ModelFamily,
    prediction: Prediction,
    ema: bool,
) -> Result<Component, CheckpointError> {
    let mut names = stripped(file, prefix);
    names.retain(|name| {
        let heads = [
            "input_blocks.",
            "middle_block.",
            "output_blocks.",
            "time_embed.",
            "label_emb.",
            "out.",
        ];
        heads.iter().any(|head| name.starts_with(head))
    });
    let structure = UNetStructure::from_ldm(names.iter().map(String::as_str));
    let table = structure.table();
    let mut pieces = Vec::with_capacity(names.len());
    for name in names {
        let key = format!("{prefix}{name}");
        let Some(path) = table.to_module(&name) else { continue };
        if path.split('.').any(|part| LDM_UNET.contains(&part)) {
            return Err(no_rule(file, key, "U-Net"));
        }
        // `model.diffusion_model.out.2.weight` is averaged as `model_ema.diffusion_modelout2weight`; what was not trained
        // may have no average.
        let averaged = format!("{EMA_PREFIX}diffusion_model{}", name.replace('.', ""));
        let key = if ema && file.info(&averaged).is_some() { averaged } else { key };
        pieces.push((path, Piece { key, part: Part::Whole }));
    }
    let class = ("unet", "UNet2DConditionModel");
    let mut unet = Component::new(class, file.clone(), pieces)?;
    if let Err(found) = structure.check(&unet.names) {
        return Err(CheckpointError::UnknownStructure { origin: file.origin(), found });
    }
    unet.config = configs::unet(&unet, &structure, family, prediction);
    Ok(unet)
}

/// The autoencoder.
pub(super) fn vae(
    file: &Arc<dyn WeightSource>,
    prefix: &str,
    family: Option<ModelFamily>,
) -> Result<Component, CheckpointError> {
    let mut names = stripped(file, prefix);
    names.retain(|name| {
        let heads = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];
        heads.iter().any(|head| name.starts_with(head)) && !name.starts_with("encoder.layers.")
    });
    let levels = (0..64)
        .take_while(|level| {
            let start = format!("decoder.up.{level}.");
            names.iter().any(|name| name.starts_with(&start))
        })
        .count();
    let table = others::vae_table(levels);
    let mut pieces = Vec::with_capacity(names.len());
    for name in names {
        let key = format!("{prefix}{name}");
        let Some(path) = table.to_module(&name) else { continue };
        if path.split('.').any(|part| LDM_VAE.contains(&part)) {
            return Err(no_rule(file, key, "autoencoder"));
        }
        let projection = path.contains(".attentions.") && !path.contains(".group_norm.");
        let part =
            if projection && path.ends_with(".weight") { Part::Squeezed } else { Part::Whole };
        pieces.push((path, Piece { key, part }));
    }
    let mut vae = Component::new(("vae", "AutoencoderKL"), file.clone(), pieces)?;
    vae.config = configs::vae(&vae, levels, family);
    Ok(vae)
}

/// Where text encoders lie: prefix, name of the component, and whether under the names of OpenCLIP. The third is
/// stable-diffusion.cpp's place for XL's second one; the last two are files of text encoders alone.
const TEXT_ENCODERS: [(&str, &str, bool); 8] = [
    ("cond_stage_model.transformer.", "text_encoder", false),
    ("cond_stage_model.model.", "text_encoder", true),
    ("cond_stage_model.1.transformer.", "text_encoder_2", false),
    ("conditioner.embedders.0.transformer.", "text_encoder", false),
    ("conditioner.embedders.0.model.", "text_encoder_2", true),
    ("conditioner.embedders.1.model.", "text_encoder_2", true),
    ("", "text_encoder", false),
    ("", "text_encoder_2", true),
];

/// All text encoders.
pub(super) fn text_encoders(
    file: &Arc<dyn WeightSource>,
    family: Option<ModelFamily>,
) -> Result<Vec<Component>, CheckpointError> {
    let is_sd2 = family.is_some_and(ModelFamily::is_sd2);
    let mut found: Vec<Component> = Vec::new();
    for (prefix, name, open_clip) in TEXT_ENCODERS {
        let name = if family == Some(ModelFamily::XlRefiner) { "text_encoder_2" } else { name };
        let names = stripped(file, prefix);
        let mut pieces = match open_clip {
            true => open_clip_pieces(&names, prefix),
            false => clip_pieces(&names, prefix),
        };
        if is_sd2 {
            // 2.x takes the last state but one, and no projection.
            pieces.retain(|(path, _)| {
                !path.starts_with(UNUSED_LAYER) && path != "text_projection.weight"
            });
        }
        // A second one of the same name stays unused, and is told so.
        if pieces.is_empty() || found.iter().any(|text| text.name == name) {
            continue;
        }
        let projects = pieces.iter().any(|(path, _)| path == "text_projection.weight");
        let class = if projects { "CLIPTextModelWithProjection" } else { "CLIPTextModel" };
        let mut text = Component::new((name, class), file.clone(), pieces)?;
        // Whatever the names: these are models of OpenCLIP.
        text.config = configs::text(&text, open_clip || is_sd2 || name == "text_encoder_2");
        found.push(text);
    }
    Ok(found)
}

/// The pieces of a text encoder under the names of transformers, with or without its wrapper.
///
/// stable-diffusion.cpp keeps the projection as OpenCLIP has it, inside the wrapper.
fn clip_pieces(names: &[String], prefix: &str) -> Vec<(String, Piece)> {
    let heads = ["embeddings.", "encoder.layers.", "final_layer_norm.", "text_projection"];
    let pieces = names.iter().filter_map(|name| {
        let path = name.strip_prefix("text_model.").unwrap_or(name);
        if path.ends_with(".position_ids") || !heads.iter().any(|head| path.starts_with(head)) {
            return None;
        }
        let (path, part) = match path {
            "text_projection" if name != path => {
                ("text_projection.weight".into(), Part::Transposed)
            }
            "text_projection" => return None,
            "text_projection.weight" => (path.to_owned(), Part::Whole),
            _ => (format!("text_model.{path}"), Part::Whole),
        };
        Some((path, Piece { key: format!("{prefix}{name}"), part }))
    });
    pieces.collect()
}

/// The pieces of a text encoder under the names of OpenCLIP.
fn open_clip_pieces(names: &[String], prefix: &str) -> Vec<(String, Piece)> {
    let table = others::open_clip_table();
    let mut pieces = Vec::new();
    for name in names {
        let Some(path) = table.to_module(name).filter(|path| path != name) else { continue };
        let piece = |part| Piece { key: format!("{prefix}{name}"), part };
        if let Some((before, end)) = path.split_once(".in_proj.") {
            let thirds = others::THIRDS.into_iter().enumerate();
            pieces
                .extend(thirds.map(|(at, third)| {
                    (format!("{before}.{third}.{end}"), piece(Part::Third(at)))
                }));
        } else {
            let part = if name == "text_projection" { Part::Transposed } else { Part::Whole };
            pieces.push((path, piece(part)));
        }
    }
    pieces
}
