//! Euler's method on the probability flow: "Elucidating the Design Space of Diffusion-Based Generative Models",
//! <https://arxiv.org/abs/2206.00364>, algorithm 2 without churn.

use super::{
    Configured, DIFFUSION, InterpolationType, Method, TimestepType, sigma_ladder::SigmaLadder,
};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Sample},
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
    schedule::FinalSigmas,
};

/// `EulerDiscreteScheduler`.
pub type Euler = Configured<EulerMethod>;

/// The method of [`Euler`].
#[derive(Debug, Clone)]
pub struct EulerMethod {
    ladder: SigmaLadder,
}

impl Method for EulerMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let mut ladder = SigmaLadder::read_with_switches(fields, DIFFUSION)?;
        ladder.interpolation = fields.name("interpolation_type", InterpolationType::Linear)?;
        ladder.timestep_type = fields.name("timestep_type", TimestepType::Discrete)?;
        ladder.final_sigmas = fields.name("final_sigmas_type", FinalSigmas::Zero)?;
        Ok(Self { ladder })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).map(|rung| {
            let ratio = rung.to / rung.from;
            self.ladder
                .stage(rung.timestep, rung.from)
                .next(ratio * Sample + (1.0 - ratio) * Denoised)
                .finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
