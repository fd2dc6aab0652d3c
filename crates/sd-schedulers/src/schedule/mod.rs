//! Noise schedules, in f64 on the host and free of any tensor library.

mod betas;
mod level;
mod sigmas;
mod spacing;

pub use betas::{BetaSchedule, NoiseSchedule};
pub use level::{NoiseLevel, PredictionType};
pub(crate) use sigmas::{FinalSigmas, SigmaRule, log_linear_sigmas};
pub use sigmas::{interpolate, karras_sigmas};
pub(crate) use spacing::{Spacing, trailing};
pub use spacing::{TimestepSpacing, linspace};
