//! The tables of "Align Your Steps: Optimizing Sampling Schedules in Diffusion Models", <https://arxiv.org/abs/2404.14507>,
//! for 10 steps, as their authors published them.
//!
//! The rules [`SigmaSchedule::AlignYourSteps`](super::SigmaSchedule::AlignYourSteps) and its siblings read the sigmas at any
//! number of steps; the timesteps are for [`PlanRequest::timesteps`](crate::PlanRequest::timesteps).

/// Sigmas for SD 1.5; the last is where the step to zero begins if there are more than 10 steps.
pub const SIGMAS: [f64; 11] =
    [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
/// Sigmas for SDXL.
pub const SIGMAS_XL: [f64; 11] =
    [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029];
/// Sigmas for Stable Video Diffusion.
pub const SIGMAS_VIDEO: [f64; 11] =
    [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002];
/// Timesteps for SD 1.5.
pub const TIMESTEPS: [f64; 10] =
    [999.0, 850.0, 736.0, 645.0, 545.0, 455.0, 343.0, 233.0, 124.0, 24.0];
/// Timesteps for SDXL.
pub const TIMESTEPS_XL: [f64; 10] =
    [999.0, 845.0, 730.0, 587.0, 443.0, 310.0, 193.0, 116.0, 53.0, 13.0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SchedulerConfig, schedule::interpolate};

    #[test]
    fn sigmas_and_timesteps_are_of_the_same_steps() {
        let config = SchedulerConfig::new("EulerDiscreteScheduler")
            .with("beta_schedule", "scaled_linear")
            .with("beta_start", 0.00085)
            .with("beta_end", 0.012);
        let training = config.training().unwrap().schedule().unwrap().sigmas();
        for (sigmas, timesteps) in [(SIGMAS, TIMESTEPS), (SIGMAS_XL, TIMESTEPS_XL)] {
            for (sigma, timestep) in sigmas.iter().zip(timesteps) {
                let found = interpolate(&training, timestep);
                assert!((found - sigma).abs() < 0.02 * sigma, "{timestep}: {found} {sigma}");
            }
        }
    }
}
