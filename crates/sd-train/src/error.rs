//! What ends a training run.

use std::path::PathBuf;

use sd_nn::{
    UnsupportedPrecision,
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
    /// A precision that models are not trained in.
    #[error(
        "training in f16 is not possible: gradients below 6e-8 become zero and numbers above 65504 infinite, which bf16 and f32 do not do"
    )]
    HalfPrecision,
    /// A precision that the device does not compute in.
    #[error(transparent)]
    Precision(#[from] UnsupportedPrecision),
    /// A batch that peers cannot share.
    #[error("a batch of {batch} cannot be shared evenly by {peers} peers")]
    Batch {
        /// Examples of the batch, over all peers.
        batch: usize,
        /// The peers.
        peers: usize,
    },
    /// A device that is not there.
    #[error("there is no device {index}: {backend} has {count} of them")]
    NoDevice {
        /// The device that was asked for, from 0.
        index: usize,
        /// The backend's name.
        backend: String,
        /// How many there are.
        count: usize,
    },
    /// Several devices, in a build that cannot train on them.
    #[error(
        "this build trains on one device, and {devices} were asked for: build it with `--features collective`"
    )]
    NoCollective {
        /// How many were asked for.
        devices: usize,
    },
    /// No library to copy from one CUDA device to another.
    #[error("no NCCL library (libnccl) on this machine, by which CUDA devices exchange gradients")]
    NoNccl,
    /// Peers that could not exchange what they found.
    #[error("the peers of this run could not exchange their gradients: {message}")]
    Exchange {
        /// What Burn says.
        message: String,
    },
    /// A peer that panicked.
    #[error("peer {index} of this run panicked")]
    PeerPanicked {
        /// Which, from 0.
        index: usize,
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
