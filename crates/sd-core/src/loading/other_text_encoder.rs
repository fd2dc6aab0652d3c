//! Another text encoder than the model's own.

use std::fmt;

use sd_clip::ClipTokenizer;
use sd_kernels::DiffusionBackend;
use sd_nn::{
    checkpoint::{
        CheckpointError, FileContents, SingleFile, SingleFileOptions, WeightSource, open_weights,
    },
    config::{ConfigError, ConfigFile},
};

use super::single_file::config_of;
use crate::{
    Error, LoadOptions, ModelError,
    components::{ClipEncoder, open_config},
    model_index::ModelIndex,
};

/// The one whose place it takes: a model's first.
const NAME: &str = "text_encoder";

/// Weights under the names of transformers, in a directory, in a file, or among those of a whole model.
pub(super) struct OtherTextEncoder {
    /// `None`: they are alone in a file, which does not tell it.
    config: Option<ConfigFile>,
    weights: Box<dyn WeightSource>,
}

impl OtherTextEncoder {
    /// The one that the options ask for in the place of the encoder of this name, if they do.
    ///
    /// # Errors
    /// When there are no weights, or not those of a text encoder.
    pub(super) fn of<B: DiffusionBackend>(
        name: &str,
        options: &LoadOptions<B>,
    ) -> Result<Option<Self>, Error> {
        let Some(path) = options.text_encoder.as_ref().filter(|_| name == NAME) else {
            return Ok(None);
        };
        if path.is_dir() {
            let (config, weights) = (open_config(path)?, open_weights(path, None)?);
            return Ok(Some(Self { config: Some(config), weights }));
        }
        let mut understood = SingleFileOptions::default();
        understood.configs.clone_from(&options.single_file.configs);
        let file = SingleFile::open(path, &understood)?;
        let component = file.component(NAME).ok_or_else(|| CheckpointError::NotAModel {
            origin: path.display().to_string(),
            contents: file.contents(),
        })?;
        // Alone, shapes do not tell heads; the model whose encoder it takes the place of does.
        let config = match file.contents() {
            FileContents::TextEncoder => None,
            _ => Some(config_of(component)?),
        };
        let found = Self { config, weights: Box::new(component.clone()) };
        Ok(Some(found))
    }

    /// Loads it with the model's tokenizer, and the model's configuration if it has none.
    pub(super) fn load<B: DiffusionBackend>(
        self,
        tokenizer: ClipTokenizer,
        own: impl FnOnce() -> Result<ConfigFile, ConfigError>,
        options: &LoadOptions<B>,
    ) -> Result<ClipEncoder<B>, Error> {
        let config = match self.config {
            Some(config) => config,
            None => own()?,
        };
        let (device, precision) = (&options.device, options.dtypes.text);
        ClipEncoder::from_source(tokenizer, &config, self.weights.as_ref(), device, precision)
    }

    /// Refuses one for a model that has none to replace.
    pub(super) fn check<B: DiffusionBackend>(
        index: &ModelIndex,
        options: &LoadOptions<B>,
    ) -> Result<(), ModelError> {
        match options.text_encoder.is_some() && !index.has(NAME) {
            true => {
                let path = index.directory().into();
                Err(ModelError::MissingComponent { path, component: NAME })
            }
            false => Ok(()),
        }
    }
}

impl fmt::Debug for OtherTextEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherTextEncoder").field("weights", &self.weights.origin()).finish()
    }
}
