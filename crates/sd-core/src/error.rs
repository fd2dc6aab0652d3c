//! What can go wrong.

use std::path::PathBuf;

use sd_clip::TokenizerError;
use sd_nn::{
    UnsupportedPrecision,
    checkpoint::{CheckpointError, ParameterError},
    config::ConfigError,
};
use sd_schedulers::{PlanError, RunError};
use thiserror::Error;

use crate::request::RequestError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory is no model that this crate knows.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The Hub, or its cache.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// A configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A weights file.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tokenizer's files.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A scheduler's configuration.
    #[error(transparent)]
    SchedulerConfig(#[from] sd_schedulers::ConfigError),
    /// A scheduler's file.
    #[error("{}: {source}", path.display())]
    SchedulerFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<sd_schedulers::ConfigError>,
    },
    /// A run that the scheduler cannot plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Noise that cannot be made.
    #[error(transparent)]
    Noise(#[from] sd_schedulers::rng::NoiseError),
    /// A run that cannot go on.
    #[error(transparent)]
    Sampler(#[from] RunError),
    /// A request that makes no sense, or not for this model.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A parameter was replaced by something else.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A precision that the backend lacks.
    #[error(transparent)]
    Precision(#[from] UnsupportedPrecision),
    /// A component refused its input, or failed.
    #[error("{component}: {source}")]
    Component {
        /// Which one, as in `model_index.json`.
        component: &'static str,
        /// Its own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The device could not be read.
    #[error("the device failed: {0}")]
    Device(String),
    /// A picture has values that are not finite: the model overflowed, or its weights are broken.
    #[error(
        "picture {image} has values that are not finite; if its precision was too low, f32 may help"
    )]
    NotFinite {
        /// Which one of the batch, from 0.
        image: usize,
    },
    /// Latents of a run that overflowed before they were decoded.
    #[error(
        "the latents have values that are not finite; if the denoiser's precision was too low, f32 may help"
    )]
    LatentsNotFinite,
    /// An autoencoder that makes no RGB pictures.
    #[error("the vae makes pictures of {found} channels, expected 3")]
    ImageChannels {
        /// How many there are.
        found: usize,
    },
    /// A run that ended with an error was asked for its result.
    #[error("the run failed in step {index}, so it has no result")]
    RunFailed {
        /// Which step, from 0.
        index: usize,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The operating system's own words.
        source: std::io::Error,
    },
    /// An image could not be encoded.
    #[error("cannot encode {}: {message}", path.display())]
    Encode {
        /// Which file.
        path: PathBuf,
        /// The encoder's words.
        message: String,
    },
}

impl Error {
    /// An error of a component.
    pub fn component(
        component: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Component { component, source: source.into() }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a directory is not a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no such directory or file.
    #[error("{}: no such directory or file", .0.display())]
    NotFound(PathBuf),
    /// It is a file.
    #[error("{}: a file, expected a model directory in diffusers' layout", .0.display())]
    NotADirectory(PathBuf),
    /// It has no `model_index.json`.
    #[error("{}: no model_index.json, so this is no model directory in diffusers' layout", .0.display())]
    NoIndex(PathBuf),
    /// Another kind of pipeline.
    #[error("{}: unsupported pipeline class `{class}`, supported: {}", path.display(), supported.join(", "))]
    Class {
        /// The model's directory.
        path: PathBuf,
        /// What it says it is.
        class: String,
        /// What is supported.
        supported: Vec<&'static str>,
    },
    /// A component that the pipeline cannot do without.
    #[error("{}: the model has no {component}", path.display())]
    MissingComponent {
        /// The model's directory.
        path: PathBuf,
        /// Which component.
        component: &'static str,
    },
    /// A component of another class.
    #[error("{}: {component} is a `{class}`, supported: {}", path.display(), supported.join(", "))]
    ComponentClass {
        /// The model's directory.
        path: PathBuf,
        /// Which component.
        component: &'static str,
        /// What it is.
        class: String,
        /// What is supported.
        supported: Vec<&'static str>,
    },
    /// A single file has no vocabulary, and none was given or lies beside it.
    #[error(
        "{}: a single file has no tokenizer, so a directory with CLIP's vocab.json and merges.txt is needed (the `tokenizer` of any Stable Diffusion 1.x, 2.x or XL in diffusers' layout), named by the options (`--tokenizer` of `sd`) or beside the file; looked in {}",
        path.display(),
        searched(looked_in)
    )]
    NoVocabulary {
        /// The model's file.
        path: PathBuf,
        /// Where vocabularies were looked for.
        looked_in: Vec<PathBuf>,
    },
    /// A vocabulary has more tokens than the text encoder knows.
    #[error(
        "{}: {found} tokens, but the {component} of {} knows {expected}: this is not its vocabulary",
        vocabulary.display(),
        path.display()
    )]
    VocabularySize {
        /// The model's file.
        path: PathBuf,
        /// Which text encoder.
        component: &'static str,
        /// The directory of the vocabulary.
        vocabulary: PathBuf,
        /// Tokens of the vocabulary.
        found: usize,
        /// Rows of the token embedding.
        expected: usize,
    },
    /// A text encoder without the projection that SDXL's pooled vectors go through.
    #[error("{}: config.json names no CLIPTextModelWithProjection, whose pooled vectors SDXL reads", .0.display())]
    NoProjection(PathBuf),
    /// A part was not given to the builder.
    #[error("a pipeline needs a {0}, and none was given to its builder")]
    NotGiven(&'static str),
    /// Weights that are to be changed are in use.
    #[error("the weights are in use by another pipeline or by a run")]
    InUse,
    /// Components that do not fit together.
    #[error("{0}")]
    Mismatch(String),
}

/// Directories as a list.
fn searched(directories: &[PathBuf]) -> String {
    let shown: Vec<String> =
        directories.iter().map(|directory| directory.display().to_string()).collect();
    shown.join(", ")
}
