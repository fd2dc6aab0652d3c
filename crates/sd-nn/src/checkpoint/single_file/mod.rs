//! Whole models in one file, under the names of LDM (1.x, 2.x) and SGM (XL), seen as diffusers has them.
//!
//! What a file is follows from the names and shapes of its tensors alone; what they cannot tell (the prediction type of
//! 2.x, groups and heads of models that nobody published) can be said in [`SingleFileOptions`].

mod component;
mod configs;
mod family;
mod others;
mod piece;
mod unet;
mod view;

use std::{collections::BTreeMap, collections::HashSet, fmt, path::Path, sync::Arc};

use serde_json::{Map, Value, json};

pub use component::Component;
pub use family::{FileContents, ModelFamily};
pub use view::SingleFileView;

use self::{
    piece::{Part, Piece},
    unet::UNetStructure,
};
use super::{CheckpointError, FileKind, WeightSource, open};

/// What the prefix of a U-Net's tensors is in whole models, and in files of U-Nets alone.
const UNET_PREFIXES: [&str; 2] = ["model.diffusion_model.", ""];

/// The same of autoencoders.
const VAE_PREFIXES: [&str; 3] = ["first_stage_model.", "vae.", ""];

/// Under which the averaged weights of a U-Net lie, with the dots taken out of their names.
const EMA_PREFIX: &str = "model_ema.";

/// The layer of OpenCLIP's H that 2.x does not use: its text encoder ends with the last but one.
const UNUSED_LAYER: &str = "transformer.resblocks.23.";

/// Buffers that are no parameters, and that training leaves in files.
const BUFFERS: [&str; 18] = [
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
    "lvlb_weights",
    "scale_factor",
    "denoiser.sigmas",
    "v_pred",
    "ztsnr",
];

/// What a U-Net predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prediction {
    /// The noise.
    Noise,
    /// The velocity.
    Velocity,
}

impl Prediction {
    /// As configurations of schedulers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "epsilon",
            Self::Velocity => "v_prediction",
        }
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a single file is understood, where its contents do not tell or tell wrongly.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SingleFileOptions {
    /// The family, in place of the one that is told from names and shapes.
    pub family: Option<ModelFamily>,
    /// What the U-Net predicts, in place of what is told or assumed.
    pub prediction: Option<Prediction>,
    /// Use the averaged weights of the U-Net, if the file has them.
    pub ema: bool,
    /// Values of configurations by component, which take the place of those that are told.
    pub configs: BTreeMap<String, Map<String, Value>>,
}

impl SingleFileOptions {
    /// Sets the family.
    pub fn family(mut self, family: ModelFamily) -> Self {
        self.family = Some(family);
        self
    }

    /// Sets what the U-Net predicts.
    pub fn prediction(mut self, prediction: Prediction) -> Self {
        self.prediction = Some(prediction);
        self
    }

    /// Chooses the averaged weights of the U-Net.
    pub fn ema(mut self, ema: bool) -> Self {
        self.ema = ema;
        self
    }

    /// Sets a value of a component's configuration.
    pub fn config(mut self, component: &str, key: &str, value: Value) -> Self {
        self.configs.entry(component.into()).or_default().insert(key.into(), value);
        self
    }
}

/// A model in one file, as the components of diffusers.
///
/// ```no_run
/// use burn::tensor::DType;
/// use sd_nn::checkpoint::{SingleFile, SingleFileOptions, WeightSource};
///
/// let file = SingleFile::open("v1-5-pruned.safetensors", &SingleFileOptions::default())?;
/// let unet = file.component("unet").expect("a whole model");
/// let weight = unet.read("conv_in.weight", DType::F32)?;
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct SingleFile {
    contents: FileContents,
    kind: Option<FileKind>,
    family: Option<ModelFamily>,
    prediction: Prediction,
    zero_snr: bool,
    has_ema: bool,
    components: Vec<Component>,
    unused: Vec<String>,
}

impl SingleFile {
    /// Opens a file of any format and finds the components in it.
    ///
    /// # Errors
    /// [`CheckpointError::NotAModel`] when it holds something else, and as [`open`].
    pub fn open(
        path: impl AsRef<Path>,
        options: &SingleFileOptions,
    ) -> Result<Self, CheckpointError> {
        let file = open(path)?;
        let (kind, metadata) = (file.kind(), file.metadata().clone());
        let mut single = Self::new(Arc::new(file), &metadata, options)?;
        single.kind = Some(kind);
        Ok(single)
    }

    /// Finds the components among these tensors; `metadata` is what stands beside them.
    ///
    /// # Errors
    /// [`CheckpointError::NotAModel`] when they are something else, [`CheckpointError::NotAPart`] and
    /// [`CheckpointError::KeyCollision`] when they contradict each other.
    pub fn new(
        file: Arc<dyn WeightSource>,
        metadata: &BTreeMap<String, String>,
        options: &SingleFileOptions,
    ) -> Result<Self, CheckpointError> {
        let contents = FileContents::of(&file);
        let family = match contents {
            FileContents::Model(family) | FileContents::UNet(family) => {
                Some(options.family.unwrap_or(family))
            }
            FileContents::Vae | FileContents::TextEncoder => options.family,
            contents => {
                return Err(CheckpointError::NotAModel { origin: file.origin(), contents });
            }
        };
        let has_ema = file.names().iter().any(|name| name.starts_with("model_ema.diffusion_model"));
        let prediction = options.prediction.or_else(|| told(&file, metadata));
        let prediction = prediction.unwrap_or_else(|| assumed(family, metadata));
        let mut components = Vec::new();
        if let (Some(prefix), Some(family)) = (unet_prefix(&file), family) {
            components.push(unet(&file, prefix, family, prediction, options.ema && has_ema)?);
        }
        if let Some(prefix) = vae_prefix(&file) {
            components.push(vae(&file, prefix, family)?);
        }
        components.extend(text_encoders(&file, family)?);
        for component in &mut components {
            if let (Some(values), Value::Object(config)) =
                (options.configs.get(component.name), &mut component.config)
            {
                config.extend(values.clone());
            }
        }
        let zero_snr = file.info("ztsnr").is_some();
        let mut single = Self {
            contents,
            kind: None,
            family,
            prediction,
            zero_snr,
            has_ema,
            components,
            unused: Vec::new(),
        };
        single.unused = single.find_unused(&file, options.ema && has_ema);
        Ok(single)
    }

    fn find_unused(&self, file: &dyn WeightSource, averaged: bool) -> Vec<String> {
        let used: HashSet<&str> = self
            .components
            .iter()
            .flat_map(|component| component.pieces.values().map(|piece| piece.key.as_str()))
            .collect();
        let known = |name: &str| {
            BUFFERS.contains(&name)
                || name.starts_with(EMA_PREFIX)
                || averaged && name.starts_with(UNET_PREFIXES[0])
                || name.ends_with(".position_ids")
                || name.ends_with(".logit_scale")
                || name.starts_with(&format!("cond_stage_model.model.{UNUSED_LAYER}"))
                || name == "cond_stage_model.model.text_projection"
        };
        file.names()
            .into_iter()
            .filter(|name| !used.contains(name.as_str()) && !known(name))
            .collect()
    }

    /// What the file holds.
    pub fn contents(&self) -> FileContents {
        self.contents
    }

    /// The format of the file, when it is one.
    pub fn kind(&self) -> Option<FileKind> {
        self.kind
    }

    /// The family; `None` for an autoencoder or a text encoder alone, which several families share.
    pub fn family(&self) -> Option<ModelFamily> {
        self.family
    }

    /// What the U-Net predicts.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// Whether the file has averaged weights of the U-Net besides.
    pub fn has_ema(&self) -> bool {
        self.has_ema
    }

    /// The components, the U-Net first.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The component of this name: `unet`, `vae`, `text_encoder`, `text_encoder_2`.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// Tensors that are no part of any component, without the buffers that training leaves.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// The configuration of the scheduler that the family is published with; `None` without a U-Net.
    pub fn scheduler_config(&self) -> Option<Value> {
        Some(configs::scheduler(self.family?, self.prediction, self.zero_snr))
    }

    /// The index of the model in diffusers' layout, with all that its pipeline needs; `None` without a U-Net.
    pub fn model_index(&self) -> Option<Value> {
        let family = self.family?;
        let mut index = configs::header(configs::pipeline_class(family));
        for component in &self.components {
            let library =
                if component.name.starts_with("text") { "transformers" } else { "diffusers" };
            index.insert(component.name.into(), json!([library, component.class]));
            if let Some(number) = component.name.strip_prefix("text_encoder") {
                index
                    .insert(format!("tokenizer{number}"), json!(["transformers", "CLIPTokenizer"]));
            }
        }
        let scheduler = configs::scheduler(family, self.prediction, self.zero_snr);
        index.insert("scheduler".into(), json!(["diffusers", scheduler["_class_name"]]));
        if family.is_xl() {
            let refiner = family == ModelFamily::XlRefiner;
            index.insert("force_zeros_for_empty_prompt".into(), json!(!refiner));
            if refiner {
                index.insert("requires_aesthetics_score".into(), json!(true));
                index.insert("text_encoder".into(), json!([null, null]));
                index.insert("tokenizer".into(), json!([null, null]));
            }
        } else {
            index.insert("safety_checker".into(), json!([null, null]));
            index.insert("feature_extractor".into(), json!([null, null]));
        }
        Some(Value::Object(index))
    }
}

/// What the file itself says about the prediction.
fn told(file: &dyn WeightSource, metadata: &BTreeMap<String, String>) -> Option<Prediction> {
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
fn assumed(family: Option<ModelFamily>, metadata: &BTreeMap<String, String>) -> Prediction {
    let steps = metadata.get("global_step").map(String::as_str);
    match family {
        Some(ModelFamily::Sd2) if steps != Some("875000") => Prediction::Velocity,
        Some(ModelFamily::Sd2Upscaler) => Prediction::Velocity,
        _ => Prediction::Noise,
    }
}

fn unet_prefix(file: &dyn WeightSource) -> Option<&'static str> {
    UNET_PREFIXES.into_iter().find(|prefix| {
        let has = |name: &str| file.info(&format!("{prefix}{name}")).is_some();
        // A ControlNet has the one, and no way out.
        has("input_blocks.0.0.weight") && has("out.2.weight")
    })
}

fn vae_prefix(file: &dyn WeightSource) -> Option<&'static str> {
    VAE_PREFIXES.into_iter().find(|prefix| {
        let has = |name: &str| file.info(&format!("{prefix}{name}")).is_some();
        has("decoder.conv_in.weight") && has("decoder.mid.block_1.conv1.weight")
    })
}

/// The names of a file that start so, without the start.
fn stripped(file: &dyn WeightSource, prefix: &str) -> Vec<String> {
    let names = file.names().into_iter();
    names.filter_map(|name| name.strip_prefix(prefix).map(Into::into)).collect()
}

fn unet(
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
    let pieces = names.into_iter().filter_map(|name| {
        let path = table.to_module(&name)?;
        let key = match ema {
            // `model.diffusion_model.out.2.weight` is averaged as `model_ema.diffusion_modelout2weight`.
            true => format!("{EMA_PREFIX}diffusion_model{}", name.replace('.', "")),
            false => format!("{prefix}{name}"),
        };
        Some((path, Piece { key, part: Part::Whole }))
    });
    let class = ("unet", "UNet2DConditionModel");
    let mut unet = Component::new(class, file.clone(), pieces.collect())?;
    unet.config = configs::unet(&unet, &structure, family, prediction);
    Ok(unet)
}

fn vae(
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
    let pieces = names.into_iter().filter_map(|name| {
        let path = table.to_module(&name)?;
        let projection = path.contains(".attentions.") && !path.contains(".group_norm.");
        let part =
            if projection && path.ends_with(".weight") { Part::Squeezed } else { Part::Whole };
        Some((path, Piece { key: format!("{prefix}{name}"), part }))
    });
    let mut vae = Component::new(("vae", "AutoencoderKL"), file.clone(), pieces.collect())?;
    vae.config = configs::vae(&vae, levels, family);
    Ok(vae)
}

/// Where text encoders lie: prefix, name of the component, and whether it is one of OpenCLIP's.
const TEXT_ENCODERS: [(&str, &str, bool); 6] = [
    ("cond_stage_model.transformer.", "text_encoder", false),
    ("cond_stage_model.model.", "text_encoder", true),
    ("conditioner.embedders.0.transformer.", "text_encoder", false),
    ("conditioner.embedders.0.model.", "text_encoder_2", true),
    ("conditioner.embedders.1.model.", "text_encoder_2", true),
    ("text_model.", "text_encoder", false),
];

fn text_encoders(
    file: &Arc<dyn WeightSource>,
    family: Option<ModelFamily>,
) -> Result<Vec<Component>, CheckpointError> {
    let mut found = Vec::new();
    for (prefix, name, open_clip) in TEXT_ENCODERS {
        let names = stripped(file, prefix);
        let pieces = match open_clip {
            true => open_clip_pieces(&names, prefix, family),
            false => clip_pieces(&names, prefix),
        };
        if pieces.is_empty() {
            continue;
        }
        let projects = pieces.iter().any(|(path, _)| path == "text_projection.weight");
        let class = if projects { "CLIPTextModelWithProjection" } else { "CLIPTextModel" };
        let mut text = Component::new((name, class), file.clone(), pieces)?;
        text.config = configs::text(&text, open_clip);
        found.push(text);
    }
    Ok(found)
}

/// The pieces of a text encoder under the names of transformers, with or without its wrapper.
fn clip_pieces(names: &[String], prefix: &str) -> Vec<(String, Piece)> {
    let heads = ["embeddings.", "encoder.", "final_layer_norm.", "text_projection."];
    let pieces = names.iter().filter_map(|name| {
        let path = name.strip_prefix("text_model.").unwrap_or(name);
        if path.ends_with(".position_ids") || !heads.iter().any(|head| path.starts_with(head)) {
            return None;
        }
        let wrapper = if path.starts_with("text_projection.") { "" } else { "text_model." };
        let piece = Piece { key: format!("{prefix}{name}"), part: Part::Whole };
        Some((format!("{wrapper}{path}"), piece))
    });
    pieces.collect()
}

/// The pieces of a text encoder under the names of OpenCLIP.
fn open_clip_pieces(
    names: &[String],
    prefix: &str,
    family: Option<ModelFamily>,
) -> Vec<(String, Piece)> {
    let table = others::open_clip_table();
    let is_sd2 = family.is_some_and(ModelFamily::is_sd2);
    let mut pieces = Vec::new();
    for name in names {
        // 2.x takes the last state but one, and no projection.
        let unused = is_sd2 && (name.starts_with(UNUSED_LAYER) || name == "text_projection");
        let Some(path) = table.to_module(name).filter(|path| path != name && !unused) else {
            continue;
        };
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
