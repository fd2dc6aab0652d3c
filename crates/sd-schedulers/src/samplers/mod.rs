//! The samplers, one per file.

mod ddim;
mod dpm_multistep;
mod euler;
mod euler_ancestral;
mod heun;
mod pndm;

pub use ddim::Ddim;
pub use dpm_multistep::{DpmMultistep, SolverType};
pub use euler::{Euler, InterpolationType, TimestepType};
pub use euler_ancestral::EulerAncestral;
pub use heun::Heun;
pub use pndm::Pndm;

use crate::{
    config::{Fields, TrainingConfig, out_of_range},
    error::{ConfigError, PlanError},
    program::Limit,
    schedule::{NoiseSchedule, interpolate},
};

/// Class defaults of `beta_start` and `beta_end`, those of Heun aside.
pub(crate) const DEFAULT_BETAS: (f64, f64) = (0.0001, 0.02);
pub(crate) const HEUN_BETAS: (f64, f64) = (0.00085, 0.012);

/// An error for the classes that cannot rescale to zero terminal signal.
fn refuse_zero_snr(fields: Fields<'_>) -> Result<(), ConfigError> {
    fields.refuse_switch("rescale_betas_zero_snr")
}

/// The bound set by `clip_sample` and `clip_sample_range`.
fn clipping(fields: Fields<'_>, default: bool) -> Result<Limit, ConfigError> {
    let range = fields.number_from("clip_sample_range", 1.0, 0.0)?;
    Ok(if fields.flag("clip_sample", default)? { Limit::Clip { range } } else { Limit::None })
}

/// The bound set by `thresholding` and the keys that belong to it.
fn thresholding(fields: Fields<'_>) -> Result<Option<Limit>, ConfigError> {
    let ratio = fields.number_from("dynamic_thresholding_ratio", 0.995, 0.0)?;
    if ratio > 1.0 {
        return Err(out_of_range(
            "dynamic_thresholding_ratio",
            "a number from 0 to 1".to_string(),
            ratio,
        ));
    }
    let max_value = fields.number_from("sample_max_value", 1.0, f64::MIN_POSITIVE)?;
    Ok(fields.flag("thresholding", false)?.then_some(Limit::Dynamic { ratio, max_value }))
}

/// The schedule with a finite sigma everywhere, as samplers in terms of sigmas need it.
fn sigma_schedule(training: &TrainingConfig) -> Result<NoiseSchedule, ConfigError> {
    Ok(training.schedule()?.with_finite_sigmas())
}

/// The cumulative product at a timestep, or an error outside of training.
fn alpha_cumprod_at(schedule: &NoiseSchedule, timestep: i64) -> Result<f64, PlanError> {
    let found =
        usize::try_from(timestep).ok().and_then(|index| schedule.alphas_cumprod().get(index));
    found.copied().ok_or(PlanError::TimestepOutOfRange {
        timestep,
        num_train_timesteps: schedule.num_train_timesteps(),
    })
}

/// Sigmas at (fractional) timesteps.
fn sigmas_at(training_sigmas: &[f64], timesteps: &[f64]) -> Vec<f64> {
    timesteps.iter().map(|&timestep| interpolate(training_sigmas, timestep)).collect()
}

/// The ends of falling sigmas: the least and the greatest.
fn ends(sigmas: &[f64]) -> (f64, f64) {
    (sigmas.last().copied().unwrap_or_default(), sigmas.first().copied().unwrap_or_default())
}
