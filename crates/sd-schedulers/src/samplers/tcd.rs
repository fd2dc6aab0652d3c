//! TCD: "Trajectory Consistency Distillation", <https://arxiv.org/abs/2402.19159>, algorithm 4 (strategic stochastic
//! sampling): a deterministic step beyond the next timestep, and fresh noise back to it. Gamma is the request's `eta`.

use super::{Configured, DIFFUSION, Method, alpha_cumprod_at, lcm::DistilledSteps};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise},
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
    schedule::{NoiseLevel, NoiseSchedule, PredictionType},
};

/// `TCDScheduler`. Its authors recommend an `eta` of 0.3; at 0, as pipelines of diffusers set it if they are not told, no
/// fresh noise is added.
pub type Tcd = Configured<TcdMethod>;

/// The method of [`Tcd`].
#[derive(Debug, Clone)]
pub struct TcdMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    steps: DistilledSteps,
}

/// The timestep that the deterministic step goes to. torch multiplies whole timesteps in f32, and 0.7 * 340 is 238 there,
/// not just below it.
fn timestep_beyond(previous: i64, eta: f64) -> i64 {
    ((1.0 - eta) as f32 * previous as f32).floor() as i64
}

impl Method for TcdMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        let training = TrainingConfig::read(fields)?;
        Ok(Self {
            prediction: training.predicts_one_of(fields, DIFFUSION)?,
            schedule: training.schedule()?,
            steps: DistilledSteps::read(fields, training.num_train_timesteps)?,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let eta = request.eta;
        if eta > 1.0 {
            return Err(PlanError::Eta { eta });
        }
        let timesteps = self.steps.timesteps(request, "TCDScheduler")?;
        let alpha_at = |timestep| alpha_cumprod_at(&self.schedule, timestep);
        let stage = |index: usize| {
            let timestep = timesteps[index];
            let level = NoiseLevel::variance_preserving(alpha_at(timestep)?);
            let next = timesteps.get(index + 1).copied();
            let previous = next.unwrap_or(0);
            let beyond = alpha_at(timestep_beyond(previous, eta))?;
            let target = NoiseLevel::variance_preserving(beyond);
            let mut noised =
                target.signal * Denoised + target.noise * level.epsilon(self.prediction);
            if eta > 0.0 && next.is_some() {
                let ratio = alpha_at(previous)? / beyond;
                noised = ratio.sqrt() * noised + (1.0 - ratio).max(0.0).sqrt() * Noise;
            }
            Ok(Stage::new(timestep as f64, level, self.prediction).next(noised).finish_step())
        };
        let stages = (request.begin..request.steps).map(stage).collect::<Result<_, _>>()?;
        Plan::from_stages(request, stages, NoiseLevel::variance_preserving(alpha_at(0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // torch.floor((1 - eta) * torch.tensor(previous))
    #[test]
    fn the_timestep_beyond_is_that_of_torch() {
        for (eta, previous, expected) in
            [(0.3, 340, 238), (0.3, 700, 490), (0.3, 341, 238), (0.0, 999, 999), (1.0, 999, 0)]
        {
            assert_eq!(timestep_beyond(previous, eta), expected, "{eta} {previous}");
        }
    }
}
