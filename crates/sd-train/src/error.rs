//! What ends a training run.

use std::path::PathBuf;

use sd_nn::{
    checkpoint::{CheckpointError, ParameterError},
    config::ConfigError,
};

use crate::data::DataError;

/// Why a training run cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The run file.
    #[error("{}: {message}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A configuration of the model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Weights, or the state of a run, could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A parameter was replaced by something else.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The pipeline that validates, or its files.
    #[error(transparent)]
    Pipeline(#[from] sd_core::Error),
    /// A part of the model refused its input.
    #[error("{part}: {source}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Its own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The loss, or the norm of the gradients, is no number: the learning rate is too high, or the data broken.
    #[error("the {what} is {value} at step {step}")]
    NotFinite {
        /// Which of them.
        what: &'static str,
        /// What it is instead.
        value: f32,
        /// The step, from 0.
        step: u64,
    },
    /// A state of another run.
    #[error("{}: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },
    /// A file or directory that could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The operating system's own words.
        source: std::io::Error,
    },
}

impl TrainError {
    /// An error of a part of the model.
    pub fn part(
        part: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Part { part, source: source.into() }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
