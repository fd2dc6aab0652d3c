//! The autoencoder as something to train.

use burn::tensor::backend::BackendTypes;
use sd_kernels::TrainBackend;
use sd_nn::checkpoint::Parameters;
use sd_vae::AutoencoderKL;

use crate::{
    AutoencoderObjective, Losses, Share, Task, TrainError, autoencoder::AutoencoderTerms,
    data::Pictures, draws::Choices,
};

/// An autoencoder, its pictures and its objective.
#[derive(Debug)]
pub struct AutoencoderTask<B: TrainBackend> {
    /// The model.
    pub model: AutoencoderKL<B>,
    /// What it is to bring back.
    pub pictures: Pictures,
    /// What counts as that.
    pub objective: AutoencoderObjective,
    /// Where the model is.
    pub device: <B as BackendTypes>::Device,
}

impl<B: TrainBackend> Task<B> for AutoencoderTask<B> {
    fn examples(&self) -> usize {
        self.pictures.folder().len()
    }

    fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)> {
        vec![("vae", &self.model)]
    }

    fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)> {
        vec![("vae", &mut self.model)]
    }

    fn prepare(&self, examples: &[usize], choices: Choices) {
        self.pictures.prepare(examples, choices);
    }

    fn losses(&self, mut share: Share) -> Result<Losses<B>, TrainError> {
        let images = self.pictures.batch(&share.examples, &mut share.choices, &self.device)?;
        let losses = self.objective.loss(&self.model, images, share.noise.as_mut());
        let AutoencoderTerms { reconstruction, kl, edges, total } =
            losses.map_err(|error| TrainError::part("vae", error))?;
        let terms = vec![("reconstruction", reconstruction), ("kl", kl), ("edges", edges)];
        Ok(Losses { total, terms })
    }
}
