//! A CLIP text encoder with its tokenizer as a [`TextEncoder`].

use std::path::Path;

use sd_clip::{ClipTextConfig, ClipTextModel, ClipTokenizer, EosToken, TextFeatures};
use sd_kernels::DiffusionBackend;
use sd_nn::{
    Precision,
    checkpoint::{
        ParameterError, ParameterMap, ParameterView, Parameters, WeightSource, open_weights, tables,
    },
    config::ConfigFile,
};

use super::{check_weights, load_weights, open_config};
use crate::{
    Conditioning, Error, PipelineParameterMap,
    component::{TextEncoder, TextInput},
};

/// A text encoder. By default that of SD 1.x and 2.x: the features of the last layer, or of an earlier one, behind the
/// final norm.
#[derive(Debug, Clone)]
pub struct ClipEncoder<B: DiffusionBackend> {
    tokenizer: ClipTokenizer,
    model: ClipTextModel<B>,
    features: TextFeatures,
    name: &'static str,
}

impl<B: DiffusionBackend> ClipEncoder<B> {
    /// An encoder of a tokenizer and a model, which must know all of the tokenizer's ids.
    pub fn new(tokenizer: ClipTokenizer, model: ClipTextModel<B>) -> Self {
        Self { tokenizer, model, features: TextFeatures::default(), name: "text_encoder" }
    }

    /// The same with the features that a denoiser was trained on. With those of SDXL, pooled vectors are projected, if the
    /// model has a projection.
    pub fn with_features(self, features: TextFeatures) -> Self {
        Self { features, ..self }
    }

    /// The same under another name, as in `model_index.json`.
    pub fn with_name(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// The module of a configuration, with weights that are drawn at their first use.
    fn module(file: &ConfigFile, device: &B::Device) -> Result<ClipTextModel<B>, Error> {
        let config = ClipTextConfig::from_file(file)?;
        config.init::<B>(device).map_err(|error| Error::component("text_encoder", error))
    }

    /// Compares a directory's weights with its configuration.
    pub(crate) fn check(text_encoder: &Path) -> Result<(), Error> {
        let model = Self::module(&open_config(text_encoder)?, &B::Device::default())?;
        Ok(check_weights::<B, _>(&model, text_encoder, tables::clip_text)?)
    }

    /// Loads a `tokenizer` and a `text_encoder` directory.
    ///
    /// # Errors
    /// When a file is missing or broken.
    pub fn load(
        tokenizer: &Path,
        text_encoder: &Path,
        device: &B::Device,
        precision: Precision,
        variant: Option<&str>,
    ) -> Result<Self, Error> {
        let tokenizer = ClipTokenizer::from_dir(tokenizer)?;
        let config = open_config(text_encoder)?;
        let weights = open_weights(text_encoder, variant)?;
        Self::from_source(tokenizer, &config, &weights, device, precision)
    }

    /// Loads a configuration and weights under the names of transformers, wherever they are from: a
    /// [`Component`](sd_nn::checkpoint::Component) of a single file, for one. Prompts are cut to the model's positions.
    ///
    /// # Errors
    /// When the configuration makes no model, or the weights are not those of it.
    pub fn from_source(
        tokenizer: ClipTokenizer,
        config: &ConfigFile,
        weights: &dyn WeightSource,
        device: &B::Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let model = Self::module(config, device)?;
        let length = tokenizer.max_length().min(model.config().max_position_embeddings);
        let tokenizer = tokenizer.with_max_length(length)?;
        let model = load_weights::<B, _>(model, weights, precision, tables::clip_text)?;
        Ok(Self::new(tokenizer, model))
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &ClipTokenizer {
        &self.tokenizer
    }

    /// The model.
    pub fn model(&self) -> &ClipTextModel<B> {
        &self.model
    }
}

impl<B: DiffusionBackend> TextEncoder<B> for ClipEncoder<B> {
    fn width(&self) -> Option<usize> {
        Some(self.model.config().hidden_size)
    }

    fn pooled_width(&self) -> Option<usize> {
        let config = self.model.config();
        match self.features {
            TextFeatures::Penultimate if config.has_projection() => config.projection_dim,
            _ => Some(config.hidden_size),
        }
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&str, ParameterView<'_, B>)) {
        self.visit_parameters(&mut |view| visit(self.name, view));
    }

    fn map_components(
        &mut self,
        map: &mut PipelineParameterMap<'_, B>,
    ) -> Result<(), ParameterError> {
        let name = self.name;
        self.map_parameters(&mut |path, value| map(name, path, value))
    }

    fn encode(&self, input: &TextInput<'_>) -> Result<Conditioning<B>, Error> {
        let encoded = input.prompts.iter().map(|prompt| Ok(self.tokenizer.encode(prompt)?.ids));
        let ids = encoded.collect::<Result<Vec<_>, Error>>()?;
        let failed = |error| Error::component(self.name, error);
        let eos = EosToken::Id(self.tokenizer.eos_id());
        let output = self.model.forward(&ids, eos).map_err(failed)?;
        let features =
            self.model.features(&output, self.features, input.clip_skip).map_err(failed)?;
        let pooled = match (self.features, output.text_embeds) {
            (TextFeatures::Penultimate, Some(projected)) => projected,
            _ => output.pooled,
        };
        Ok(Conditioning::new(features).with_pooled(pooled))
    }
}

impl<B: DiffusionBackend> Parameters<B> for ClipEncoder<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.model.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.model.map_parameters(map)
    }
}
