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

/// What a class of diffusers takes where a configuration says nothing.
struct Defaults {
    beta_start: f64,
    beta_end: f64,
    beta_schedule: BetaSchedule,
}

fn defaults_of(class: &str) -> Defaults {
    let (beta_schedule, stable_diffusion) = match class {
        "LCMScheduler" | "TCDScheduler" => (BetaSchedule::ScaledLinear, true),
        "HeunDiscreteScheduler"
        | "KDPM2DiscreteScheduler"
        | "KDPM2AncestralDiscreteScheduler"
        | "DPMSolverSDEScheduler" => (BetaSchedule::Linear, true),
        _ => (BetaSchedule::Linear, false),
    };
    let (beta_start, beta_end) = if stable_diffusion { (0.00085, 0.012) } else { (0.0001, 0.02) };
    Defaults { beta_start, beta_end, beta_schedule }
}

impl TrainingConfig {
    /// Reads the keys.
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let default = defaults_of(fields.class);
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
            beta_start: fields.number_from("beta_start", default.beta_start, 0.0)?,
            beta_end: fields.number_from("beta_end", default.beta_end, 0.0)?,
            beta_schedule: fields.name("beta_schedule", default.beta_schedule)?,
            trained_betas,
            prediction_type: fields.name("prediction_type", PredictionType::Epsilon)?,
            rescale_betas_zero_snr: fields.switch("rescale_betas_zero_snr")?,
        })
    }

    /// The prediction type, or an error if it is none of those that a sampler knows.
    pub(crate) fn predicts_one_of(
        &self,
        fields: Fields<'_>,
        known: &[PredictionType],
    ) -> Result<PredictionType, ConfigError> {
        let prediction = self.prediction_type;
        match known.contains(&prediction) {
            true => Ok(prediction),
            false => Err(fields.unsupported("prediction_type", prediction)),
        }
    }

    /// The noise schedule.
    ///
    /// # Errors
    /// If a beta is not within `[0, 1)`.
    pub fn schedule(&self) -> Result<NoiseSchedule, ConfigError> {
        NoiseSchedule::new(self)
    }
}
