//! Noise schedules, in f64 on the host and free of any tensor library.

pub mod align_your_steps;
mod betas;
mod curves;
pub mod flow;
mod level;
mod sigmas;
mod spacing;
mod special;

pub use betas::{BetaSchedule, NoiseSchedule};
pub use curves::{
    SigmaSchedule, beta_sigmas, exponential_sigmas, karras_sigmas, kl_optimal_sigmas,
    polyexponential_sigmas,
};
pub use level::{NoiseLevel, PredictionType};
pub use sigmas::interpolate;
pub(crate) use sigmas::{FinalSigmas, SigmaRule, log_sigmas_of, timestep_of_sigma};
pub(crate) use spacing::{Spacing, trailing};
pub use spacing::{TimestepSpacing, linspace};
