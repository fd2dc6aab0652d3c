//! DPM2 and its ancestral form, from k-diffusion's `sample_dpm_2` and `sample_dpm_2_ancestral`
//! (<https://github.com/crowsonkb/k-diffusion>), which DPM-Solver-2 (<https://arxiv.org/abs/2206.00927>) inspired: the slope
//! half way (in logarithms of sigma) leads over the whole step.

use super::{
    Configured, Method, NO_SAMPLE, ancestral,
    heun::derivative,
    sigma_ladder::{Rung, SigmaLadder},
};
use crate::{
    SchedulerConfig,
    combination::Value::{Noise, Sample, Stored},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
};

/// `KDPM2DiscreteScheduler`.
pub type Dpm2 = Configured<Dpm2Method>;

/// `KDPM2AncestralDiscreteScheduler`.
pub type Dpm2Ancestral = Configured<Dpm2AncestralMethod>;

/// The method of [`Dpm2`].
#[derive(Debug, Clone)]
pub struct Dpm2Method {
    ladder: SigmaLadder,
}

/// The method of [`Dpm2Ancestral`].
#[derive(Debug, Clone)]
pub struct Dpm2AncestralMethod {
    ladder: SigmaLadder,
}

fn read(config: &SchedulerConfig) -> Result<SigmaLadder, ConfigError> {
    super::refuse_zero_snr(config.fields())?;
    let mut ladder = SigmaLadder::read_with_switches(config.fields(), NO_SAMPLE)?;
    ladder.whole_timesteps = true;
    Ok(ladder)
}

/// The evaluations of a step to `target`, one half way.
fn midpoint_step(ladder: &SigmaLadder, rung: Rung, target: f64) -> Vec<Stage> {
    let euler = |to: f64| 1.0 * Sample + (to - rung.from) * derivative(rung.from);
    let first = ladder.stage(rung.timestep, rung.from);
    if rung.to == 0.0 {
        return vec![first.next(euler(0.0)).finish_step()];
    }
    let middle = (rung.from * target).sqrt();
    let timestep = ladder.timestep_of(middle);
    vec![
        first.store(0, 1.0 * Sample).next(euler(middle)),
        ladder
            .stage(timestep, middle)
            .next(1.0 * Stored(0) + (target - rung.from) * derivative(middle))
            .finish_step(),
    ]
}

impl Method for Dpm2Method {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: read(config)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages =
            rungs.from(request.begin).flat_map(|rung| midpoint_step(&self.ladder, rung, rung.to));
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

impl Method for Dpm2AncestralMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: read(config)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let step = |rung: Rung| {
            let (down, up) = ancestral(rung.from, rung.to);
            let mut stages = midpoint_step(&self.ladder, rung, down);
            if let Some(last) = stages.last_mut().filter(|_| rung.to > 0.0) {
                last.update.next = last.update.next.clone() + up * Noise;
            }
            stages
        };
        let stages = rungs.from(request.begin).flat_map(step);
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
