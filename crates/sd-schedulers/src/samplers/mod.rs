//! The samplers, one per file.

mod cfg_plus_plus;
mod ddim;
mod ddim_inverse;
mod ddpm;
mod deis;
mod dpm;
mod dpm2;
mod dpm_ancestral;
mod dpm_sde;
mod edm;
mod euler;
mod euler_ancestral;
mod exponential;
mod flow;
mod heun;
mod ipndm;
mod lcm;
mod lms;
mod method;
mod pndm;
mod restart;
mod sa_solver;
mod sigma_ladder;
mod tcd;
mod unipc;

pub use cfg_plus_plus::{DpmPlusPlus2MCfg, EulerCfg};
pub use ddim::Ddim;
pub use ddim_inverse::DdimInverse;
pub use ddpm::Ddpm;
pub use deis::Deis;
pub use dpm::{Algorithm, DpmMultistep, DpmSinglestep, SolverType};
pub use dpm_ancestral::DpmPlusPlus2SAncestral;
pub use dpm_sde::{DpmPlusPlus3MSde, DpmSde};
pub use dpm2::{Dpm2, Dpm2Ancestral};
pub use edm::{EdmDpm, EdmEuler};
pub use euler::Euler;
pub use euler_ancestral::EulerAncestral;
pub use flow::{FlowEuler, FlowHeun, FlowLcm};
pub use heun::Heun;
pub use ipndm::Ipndm;
pub use lcm::Lcm;
pub use lms::Lms;
pub use method::{Configured, Method};
pub use pndm::Pndm;
pub use restart::Restart;
pub use sa_solver::SaSolver;
pub use sigma_ladder::{InterpolationType, TimestepType};
pub use tcd::Tcd;
pub use unipc::{UniPc, UniPcForm};

use crate::{
    config::{Fields, out_of_range},
    error::{ConfigError, PlanError},
    program::Limit,
    schedule::{NoiseSchedule, PredictionType, SigmaSchedule, interpolate},
};

/// The three predictions of diffusion models.
const DIFFUSION: &[PredictionType] =
    &[PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];
/// Those of samplers that lack prediction of the sample itself.
const NO_SAMPLE: &[PredictionType] = &[PredictionType::Epsilon, PredictionType::VPrediction];

/// An error for the classes that cannot rescale to zero terminal signal.
fn refuse_zero_snr(fields: Fields<'_>) -> Result<(), ConfigError> {
    fields.refuse_switch("rescale_betas_zero_snr")
}

/// An error for the classes that go from timestep to timestep and place no sigmas.
fn refuse_sigma_schedule(fields: Fields<'_>) -> Result<(), ConfigError> {
    match fields.optional_name::<SigmaSchedule>("sigma_schedule")? {
        None => Ok(()),
        Some(schedule) => Err(fields.unsupported("sigma_schedule", schedule)),
    }
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

/// The cumulative product at a timestep, or an error outside of training.
fn alpha_cumprod_at(schedule: &NoiseSchedule, timestep: i64) -> Result<f64, PlanError> {
    let found =
        usize::try_from(timestep).ok().and_then(|index| schedule.alphas_cumprod().get(index));
    found.copied().ok_or(PlanError::TimestepOutOfRange {
        timestep,
        num_train_timesteps: schedule.num_train_timesteps(),
    })
}

/// The cumulative product before the first timestep, by `set_alpha_to_one`.
fn alpha_cumprod_beyond(
    fields: Fields<'_>,
    schedule: &NoiseSchedule,
    default: bool,
) -> Result<f64, ConfigError> {
    Ok(match fields.flag("set_alpha_to_one", default)? {
        true => 1.0,
        false => schedule.alphas_cumprod()[0],
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

/// An ancestral step: the sigma to step down to, and that of the fresh noise which leads back up to `to`.
fn ancestral(from: f64, to: f64) -> (f64, f64) {
    let up = (to * to * (from * from - to * to) / (from * from)).max(0.0).sqrt().min(to);
    ((to * to - up * up).max(0.0).sqrt(), up)
}
