//! The text model's configuration.

use std::path::Path;

use sd_kernels::Activation;
use sd_nn::config::{ConfigError, ConfigFile, ValueError};
use serde::{Deserialize, Serialize};

/// A configuration value that no text model can be built from; names the key.
pub type ClipConfigError = ValueError;

/// The class whose pooled output goes through `text_projection`.
const WITH_PROJECTION: &str = "CLIPTextModelWithProjection";

const MAX_WIDTH: usize = 1 << 16;
const MAX_LAYERS: usize = 512;
const MAX_TOKENS: usize = 1 << 20;
const MAX_VOCABULARY: usize = 1 << 24;

/// `config.json` of a text encoder, with the defaults of transformers' `CLIPTextConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Classes that the weights were saved from; see [`has_projection`](Self::has_projection).
    pub architectures: Option<Vec<String>>,
    /// Entries of the token embedding. Default: 49408.
    pub vocab_size: usize,
    /// Width of the hidden states. Default: 512.
    pub hidden_size: usize,
    /// Width inside of the MLPs. Default: 2048.
    pub intermediate_size: usize,
    /// Width of the projected output. Default: 512.
    pub projection_dim: Option<usize>,
    /// Default: 12.
    pub num_hidden_layers: usize,
    /// Divides the width. Default: 8.
    pub num_attention_heads: usize,
    /// Most tokens of a prompt. Default: 77.
    pub max_position_embeddings: usize,
    /// Activation of the MLPs; `quick_gelu` in L/14, `gelu` in H and bigG. Default: `quick_gelu`.
    pub hidden_act: String,
    /// Added to the variance in norms. Default: 1e-5.
    pub layer_norm_eps: f64,
    /// The id of the end of a prompt. All Stable Diffusion models ship with 2, which is wrong; see
    /// [`EosToken`](super::EosToken). Default: 49407.
    pub eos_token_id: Option<u32>,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            architectures: None,
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: Some(512),
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            eos_token_id: Some(49407),
        }
    }
}

impl ClipTextConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`]: no such file, no JSON, or a value that cannot be used, by file and key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::from_file(&ConfigFile::open(path)?)
    }

    /// Checks a configuration that has been read. That of a whole CLIP has the text model's under `text_config`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: &ConfigFile) -> Result<Self, ConfigError> {
        let (config, prefix) = match file.get("text_config") {
            Some(nested) if !nested.is_null() => {
                let nested = ConfigFile::from_text(file.path(), &nested.to_string())?;
                (nested.parse::<Self>()?, "text_config.")
            }
            _ => (file.parse::<Self>()?, ""),
        };
        let named =
            |error: ClipConfigError| file.invalid(format!("{prefix}{}", error.key), error.problem);
        config.validate().map_err(named)?;
        Ok(config)
    }

    /// Sets the class of the model, as a pipeline's `model_index.json` names it; it decides about the projection.
    pub fn class(mut self, name: impl Into<String>) -> Self {
        self.architectures = Some(vec![name.into()]);
        self
    }

    /// Whether the pooled output is projected: `CLIPTextModelWithProjection`, and not `CLIPTextModel`, whose files state
    /// a [`projection_dim`](Self::projection_dim) too.
    pub fn has_projection(&self) -> bool {
        self.architectures.iter().flatten().any(|name| name == WITH_PROJECTION)
    }

    /// Whether a model can be built from it. Sizes are bounded, so that a nonsensical file is refused before anything is
    /// allocated.
    ///
    /// # Errors
    /// [`ClipConfigError`], which names the key.
    pub fn validate(&self) -> Result<(), ClipConfigError> {
        let range = |key: &str, value, max| ValueError::check_range(key, value, 1..=max);
        range("vocab_size", self.vocab_size, MAX_VOCABULARY)?;
        range("hidden_size", self.hidden_size, MAX_WIDTH)?;
        range("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        range("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        range("max_position_embeddings", self.max_position_embeddings, MAX_TOKENS)?;
        if self.has_projection() {
            range("projection_dim", self.projection_dim.unwrap_or(0), MAX_WIDTH)?;
        }
        let heads = self.num_attention_heads;
        ValueError::check_divides("num_attention_heads", heads, "hidden_size", self.hidden_size)?;
        ValueError::check_positive("layer_norm_eps", self.layer_norm_eps)?;
        self.activation().map(|_| ())
    }

    /// The activation that [`hidden_act`](Self::hidden_act) names.
    pub(crate) fn activation(&self) -> Result<Activation, ClipConfigError> {
        ValueError::parse_activation("hidden_act", &self.hidden_act)
    }
}
