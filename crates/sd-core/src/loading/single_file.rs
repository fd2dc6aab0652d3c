//! Whole models in one file.

use std::path::{Path, PathBuf};

use sd_clip::ClipTokenizer;
use sd_kernels::DiffusionBackend;
use sd_nn::{
    checkpoint::{CheckpointError, Component, FileContents, SingleFile, WeightSource},
    config::{ConfigError, ConfigFile},
};

use super::{
    Small,
    autoencoder::Autoencoder,
    config,
    other_text_encoder::OtherTextEncoder,
    scheduler,
    text::{Place, TextEncoders},
    vocabulary,
};
use crate::{
    Error, LoadOptions, ModelError, Pipeline,
    components::{ClipEncoder, UNetDenoiser},
    model_index::ModelIndex,
};

/// What OpenAI's CLIP fills up with, and what OpenCLIP's models do.
const PADDINGS: [&str; 2] = ["<|endoftext|>", "!"];

/// The configuration of a component, with the file's name for messages.
pub(super) fn config_of(component: &Component) -> Result<ConfigFile, ConfigError> {
    ConfigFile::from_text(component.origin(), &component.config().to_string())
}

/// A single file of which all but the weights has been read.
struct Opened<'a> {
    small: Small,
    text_encoders: TextEncoders<TextEncoder>,
    unet: &'a Component,
    vae: Autoencoder,
}

/// Looks whether a single file can be loaded: reads headers and the vocabulary, no weights.
///
/// # Errors
/// As [`Pipeline::from_single_file`], but for broken weights.
pub(crate) fn check<B: DiffusionBackend>(
    path: &Path,
    options: &LoadOptions<B>,
) -> Result<(), Error> {
    let file = SingleFile::open(path, &options.single_file)?;
    Opened::of(&file, path, options).map(drop)
}

pub(super) fn load<B: DiffusionBackend>(
    path: &Path,
    options: &LoadOptions<B>,
) -> Result<Pipeline<B>, Error> {
    let file = SingleFile::open(path, &options.single_file)?;
    let Opened { small, text_encoders, unet, vae } = Opened::of(&file, path, options)?;
    let (device, precision) = (&options.device, options.dtypes.denoiser);
    small.assemble(
        &text_encoders,
        options,
        || UNetDenoiser::from_source(&unet_config(unet)?, unet, device, precision),
        || vae.load(options),
    )
}

fn unet_config(unet: &Component) -> Result<ConfigFile, Error> {
    config_of(unet).map_err(|error| Error::component("unet", error))
}

impl<'a> Opened<'a> {
    fn of<B: DiffusionBackend>(
        file: &'a SingleFile,
        path: &Path,
        options: &LoadOptions<B>,
    ) -> Result<Self, Error> {
        let no_model = || CheckpointError::NotAModel {
            origin: path.display().to_string(),
            contents: file.contents(),
        };
        let missing = |component| ModelError::MissingComponent { path: path.into(), component };
        // A U-Net alone makes pictures only with parts that the options name.
        let whole = match file.contents() {
            FileContents::Model(_) => true,
            FileContents::UNet(_) => options.vae.is_some(),
            _ => false,
        };
        let (Some(index), true) = (file.model_index(), whole) else {
            return Err(no_model().into());
        };
        let index = ModelIndex::of_file(path, &index)?;
        index.check_class()?;
        OtherTextEncoder::check(&index, options)?;
        options.dtypes.check::<B>(&options.device)?;
        let unet = file.component("unet").ok_or_else(|| missing("unet"))?;
        let vae = match Autoencoder::of(options, file.family())? {
            Some(other) => other,
            None => {
                let own = file.component("vae").ok_or_else(|| missing("vae"))?;
                Autoencoder::File(Box::new(own.clone()))
            }
        };
        let text_encoders = TextEncoders::of(&index, |[name, tokenizer], classes| {
            let component = file.component(name).ok_or_else(|| missing(name))?;
            TextEncoder::of(component, [name, tokenizer], classes, path, options)
        })?;
        if let [first, ..] = file.unused() {
            tracing::warn!(
                "{}: {} tensors belong to no component, first {first}",
                path.display(),
                file.unused().len()
            );
        }
        Ok(Self { small: small(file, path, &index)?, text_encoders, unet, vae })
    }
}

fn small(file: &SingleFile, path: &Path, index: &ModelIndex) -> Result<Small, Error> {
    let missing = || ModelError::MissingComponent { path: path.into(), component: "scheduler" };
    let own = file.scheduler_config().ok_or_else(missing)?;
    let low_res = file.low_res_scheduler_config();
    Ok(Small {
        scheduler: scheduler::from_text(path, &own.to_string())?,
        low_res_scheduler: low_res
            .map(|config| scheduler::from_text(path, &config.to_string()))
            .transpose()?,
        config: config(index)?,
    })
}

/// A text encoder of a file, with a tokenizer from elsewhere.
#[derive(Debug)]
struct TextEncoder {
    name: &'static str,
    component: Component,
    config: ConfigFile,
    tokenizer: ClipTokenizer,
    path: PathBuf,
}

impl TextEncoder {
    fn of<B: DiffusionBackend>(
        component: &Component,
        [name, tokenizer]: [&'static str; 2],
        classes: &[&'static str],
        path: &Path,
        options: &LoadOptions<B>,
    ) -> Result<Self, Error> {
        if !classes.contains(&component.class()) {
            let (class, supported) = (component.class().to_owned(), classes.to_vec());
            let path = path.into();
            return Err(
                ModelError::ComponentClass { path, component: name, class, supported }.into()
            );
        }
        let config = config_of(component)?;
        // OpenCLIP's models are those with the exact GELU.
        let padding =
            PADDINGS[usize::from(config.get("hidden_act").is_some_and(|act| act == "gelu"))];
        let vocabulary = vocabulary::find(path, options.tokenizer.as_deref(), tokenizer)?;
        let tokenizer = ClipTokenizer::from_vocabulary(&vocabulary, padding)?;
        let known = config.get("vocab_size").and_then(serde_json::Value::as_u64);
        match known.and_then(|known| usize::try_from(known).ok()) {
            Some(expected) if tokenizer.vocab_size() > expected => {
                let (path, found) = (path.into(), tokenizer.vocab_size());
                Err(ModelError::VocabularySize {
                    path,
                    component: name,
                    vocabulary,
                    found,
                    expected,
                }
                .into())
            }
            _ => Ok(Self {
                name,
                component: component.clone(),
                config,
                tokenizer,
                path: path.into(),
            }),
        }
    }
}

impl<B: DiffusionBackend> Place<B> for TextEncoder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn load(&self, options: &LoadOptions<B>) -> Result<ClipEncoder<B>, Error> {
        let Self { component, config, tokenizer, .. } = self;
        let precision = options.dtypes.text;
        let (tokenizer, device) = (tokenizer.clone(), &options.device);
        let encoder = match OtherTextEncoder::of(self.name, options)? {
            Some(other) => other.load(tokenizer, || Ok(config.clone()), options)?,
            None => ClipEncoder::from_source(tokenizer, config, component, device, precision)?,
        };
        Ok(encoder.with_name(self.name))
    }
}
