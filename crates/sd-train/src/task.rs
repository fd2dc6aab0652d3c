//! What is trained.

use burn::tensor::Tensor;
use sd_kernels::TrainBackend;
use sd_nn::checkpoint::Parameters;
use sd_schedulers::NoiseGenerator;

use crate::{TrainError, draws::Choices};

/// One share of a step: which examples, and what is random about it.
#[derive(Debug)]
pub struct Share {
    /// The step, from 0.
    pub step: u64,
    /// Indices of the examples.
    pub examples: Vec<usize>,
    /// Timesteps, dropped captions, crops.
    pub choices: Choices,
    /// Noise.
    pub noise: Box<dyn NoiseGenerator>,
}

/// The loss of a share, with the terms that a log shows.
#[derive(Debug, Clone)]
pub struct Losses<B: TrainBackend> {
    /// What is to fall, `[1]`.
    pub total: Tensor<B, 1>,
    /// Its parts by name, `[1]` each.
    pub terms: Vec<(&'static str, Tensor<B, 1>)>,
}

/// Something to train: models, data and a loss.
pub trait Task<B: TrainBackend> {
    /// Number of examples.
    fn examples(&self) -> usize;

    /// The models that are trained, by name. Names stand before the paths of their parameters.
    fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)>;

    /// The same, to be changed.
    fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)>;

    /// Hears which examples come after a share, with the choices of theirs, so that they can be read while that share is worked on.
    fn prepare(&self, examples: &[usize], choices: Choices) {
        let _ = (examples, choices);
    }

    /// The loss of a share.
    ///
    /// # Errors
    /// When the data cannot be read, or a model refuses it.
    fn losses(&self, share: Share) -> Result<Losses<B>, TrainError>;
}

/// What stands before the paths of a part. Nothing, when it has no name.
pub(crate) fn prefix(part: &str) -> String {
    match part {
        "" => String::new(),
        part => format!("{part}."),
    }
}
