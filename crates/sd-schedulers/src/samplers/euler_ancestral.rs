//! Ancestral sampling with Euler steps, from k-diffusion's `sample_euler_ancestral`
//! (<https://github.com/crowsonkb/k-diffusion>): a step beyond the target level, and fresh noise back up to it.

use super::{Configured, Method, NO_SAMPLE, ancestral, sigma_ladder::SigmaLadder};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise, Sample},
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
};

/// `EulerAncestralDiscreteScheduler`. It does not read `use_karras_sigmas` and its siblings, as diffusers' class does not;
/// `sigma_schedule` it does.
pub type EulerAncestral = Configured<EulerAncestralMethod>;

/// The method of [`EulerAncestral`].
#[derive(Debug, Clone)]
pub struct EulerAncestralMethod {
    ladder: SigmaLadder,
}

impl Method for EulerAncestralMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: SigmaLadder::read(config.fields(), NO_SAMPLE)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).map(|rung| {
            let (down, up) = ancestral(rung.from, rung.to);
            let ratio = down / rung.from;
            // The noise is drawn in the last step too, where it has no weight, so that the generator goes on as in diffusers.
            self.ladder
                .stage(rung.timestep, rung.from)
                .next(ratio * Sample + (1.0 - ratio) * Denoised + up * Noise)
                .finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
