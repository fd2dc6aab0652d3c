//! What a step says of itself.

use burn::tensor::Tensor;
use sd_kernels::DiffusionBackend;

use crate::{TrainError, passes::Sums};

/// A step's figures, still on the device: reading them waits for it.
#[derive(Debug, Clone)]
pub struct StepReport<I: DiffusionBackend> {
    /// The step, from 0.
    pub step: u64,
    /// Its learning rate.
    pub learning_rate: f64,
    pub(crate) sums: Sums<I>,
    pub(crate) norm: Option<Tensor<I, 1>>,
}

impl<I: DiffusionBackend> StepReport<I> {
    /// The loss.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when it is no number.
    pub fn loss(&self) -> Result<f32, TrainError> {
        self.finite("loss", &self.sums.total)
    }

    /// Whether the step left weights that are numbers: those of its loss and of the norm of its gradients are.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when they are not.
    pub fn check(&self) -> Result<(), TrainError> {
        self.loss()?;
        match &self.norm {
            Some(norm) => self.finite("norm of the gradients", norm).map(drop),
            None => Ok(()),
        }
    }

    fn finite(&self, what: &'static str, value: &Tensor<I, 1>) -> Result<f32, TrainError> {
        let value = number(value);
        match value.is_finite() {
            true => Ok(value),
            false => Err(TrainError::NotFinite { what, value, step: self.step }),
        }
    }

    /// The terms of the loss by name, and the norm of the gradients as `gradient`.
    pub fn terms(&self) -> Vec<(&'static str, f32)> {
        let norm = self.norm.iter().map(|norm| ("gradient", norm));
        let terms = self.sums.terms.iter().map(|(name, term)| (*name, term));
        terms.chain(norm).map(|(name, value)| (name, number(value))).collect()
    }
}

fn number<I: DiffusionBackend>(value: &Tensor<I, 1>) -> f32 {
    value.to_data().iter::<f32>().next().unwrap_or(f32::NAN)
}
