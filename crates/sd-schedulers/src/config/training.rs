//! The part of a configuration that belongs to the model, not to the sampler.

use super::{Fields, out_of_range};
use crate::{
    error::ConfigError,
    schedule::{BetaSchedule, NoiseSchedule, PredictionType},
};

/// A training run of a million steps is a broken file; the bound keeps tables small.
const MAX_TRAIN_TIMESTEPS: usize = 1_000_000;

/// How the model was trained: its noise schedule and what it predicts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainingConfig {
    /// Number of noise levels that the model knows.
    pub num_train_timesteps: usize,
    /// First beta, if the schedule uses it.
    pub beta_start: f64,
    /// Last beta, if the schedule uses it.
    pub beta_end: f64,
    /// Shape of the betas between the two.
    pub beta_schedule: BetaSchedule,
    /// The betas themselves, instead of a schedule.
    pub trained_betas: Option<Vec<f64>>,
    /// What the model predicts.
    pub prediction_type: PredictionType,
    /// Whether the betas are rescaled so that the last noise level holds no signal (<https://arxiv.org/abs/2305.08891>).
    pub rescale_betas_zero_snr: bool,
}

impl TrainingConfig {
    /// Reads the keys; `default_betas` are the class defaults of `beta_start` and `beta_end`.
    pub(crate) fn read(fields: Fields<'_>, default_betas: (f64, f64)) -> Result<Self, ConfigError> {
        let num_train_timesteps =
            fields.count("num_train_timesteps", 1000, 1, MAX_TRAIN_TIMESTEPS)?;
        let trained_betas = fields.optional_numbers("trained_betas")?;
        if let Some(betas) = &trained_betas
            && betas.len() != num_train_timesteps
        {
            let expected = format!("{num_train_timesteps} values (num_train_timesteps)");
            return Err(out_of_range("trained_betas", expected, format!("{} values", betas.len())));
        }
        Ok(Self {
            num_train_timesteps,
            beta_start: fields.number_from("beta_start", default_betas.0, 0.0)?,
            beta_end: fields.number_from("beta_end", default_betas.1, 0.0)?,
            beta_schedule: fields.name("beta_schedule", BetaSchedule::Linear)?,
            trained_betas,
            prediction_type: fields.name("prediction_type", PredictionType::Epsilon)?,
            rescale_betas_zero_snr: fields.switch("rescale_betas_zero_snr")?,
        })
    }

    /// The noise schedule.
    ///
    /// # Errors
    /// If a beta is not within `[0, 1)`.
    pub fn schedule(&self) -> Result<NoiseSchedule, ConfigError> {
        NoiseSchedule::new(self)
    }
}
