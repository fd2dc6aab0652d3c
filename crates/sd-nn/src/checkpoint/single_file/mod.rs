//! Whole models in one file, under the names of LDM (1.x, 2.x) and SGM (XL), seen as diffusers has them.
//!
//! What a file is follows from the names and shapes of its tensors alone; what they cannot tell (the prediction type of
//! 2.x, groups and heads of models that nobody published) can stand in its header, where `convert` of sd-core puts it, or be
//! said in [`SingleFileOptions`].

mod component;
mod configs;
mod family;
mod find;
mod header;
mod options;
mod others;
mod piece;
mod unet;
mod view;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use serde_json::{Value, json};

pub use component::Component;
pub use family::{FileContents, ModelFamily};
pub use options::{Prediction, SingleFileOptions};
pub use view::SingleFileView;

use self::find::{
    EMA_PREFIX, UNET_PREFIXES, assumed, text_encoders, told, unet, unet_prefix, vae, vae_prefix,
};
use super::{CheckpointError, FileKind, WeightSource, open};

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
    /// [`CheckpointError::KeyCollision`] when they contradict each other, [`CheckpointError::NoPlace`] and
    /// [`CheckpointError::UnknownStructure`] when diffusers has no such U-Net or autoencoder, [`CheckpointError::InvalidNote`]
    /// when what the header notes of a configuration is none.
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
            let noted = header::noted(&file.origin(), metadata, component.name)?;
            if let Value::Object(config) = &mut component.config {
                config.extend(noted);
                config.extend(options.configs.get(component.name).cloned().unwrap_or_default());
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
                || name.starts_with("cond_stage_model.model.transformer.resblocks.23.")
                || name.starts_with("cond_stage_model.transformer.text_model.encoder.layers.23.")
                || name.starts_with("cond_stage_model.") && name.ends_with(".text_projection")
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

    /// The family; for an autoencoder or a text encoder alone, which several families share, the one that the options name.
    pub fn family(&self) -> Option<ModelFamily> {
        self.family
    }

    /// What the U-Net predicts.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// Whether the file marks its schedule as one that ends without any signal (`rescale_betas_zero_snr` of schedulers).
    pub fn zero_snr(&self) -> bool {
        self.zero_snr
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
        self.component("unet")?;
        Some(configs::scheduler(self.family?, self.prediction, self.zero_snr))
    }

    /// The configuration of the scheduler whose noise is added to pictures that are upscaled; of the upscaler only.
    pub fn low_res_scheduler_config(&self) -> Option<Value> {
        (self.family? == ModelFamily::Sd2Upscaler).then(configs::low_res_scheduler)
    }

    /// The index of the model in diffusers' layout, with all that its pipeline needs; `None` without a U-Net.
    pub fn model_index(&self) -> Option<Value> {
        self.component("unet")?;
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
        if let Some(config) = self.low_res_scheduler_config() {
            index.insert("low_res_scheduler".into(), json!(["diffusers", config["_class_name"]]));
        }
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
