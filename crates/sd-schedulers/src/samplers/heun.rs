//! Heun's method: "Elucidating the Design Space of Diffusion-Based Generative Models",
//! <https://arxiv.org/abs/2206.00364>, algorithm 1 without churn. Every step but that to zero evaluates twice.

use super::{
    Configured, DIFFUSION, Method, clipping, refuse_zero_snr,
    sigma_ladder::{Rung, SigmaLadder},
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Sample, Stored},
    },
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::PlanRequest,
};

/// Slot of the derivative at the beginning of the step.
const DERIVATIVE: usize = 0;
/// Slot of the latents at the beginning of the step.
const START: usize = 1;

/// `HeunDiscreteScheduler`.
pub type Heun = Configured<HeunMethod>;

/// The method of [`Heun`].
#[derive(Debug, Clone)]
pub struct HeunMethod {
    ladder: SigmaLadder,
    limit: Limit,
}

/// The slope of the probability flow in sigma.
pub(super) fn derivative(sigma: f64) -> Combination {
    (1.0 / sigma) * (1.0 * Sample - 1.0 * Denoised)
}

/// The evaluations of one step: at its beginning, and at its end (at this timestep) unless that is clean.
pub(super) fn heun_step(
    rung: Rung,
    next_timestep: f64,
    stage: impl Fn(f64, f64) -> Stage,
) -> Vec<Stage> {
    let change = rung.to - rung.from;
    let euler = 1.0 * Sample + change * derivative(rung.from);
    let first = stage(rung.timestep, rung.from).next(euler);
    if rung.to == 0.0 {
        return vec![first.finish_step()];
    }
    let slopes = 1.0 * Stored(DERIVATIVE) + derivative(rung.to);
    vec![
        first.store(DERIVATIVE, derivative(rung.from)).store(START, 1.0 * Sample),
        stage(next_timestep, rung.to)
            .next(1.0 * Stored(START) + (0.5 * change) * slopes)
            .finish_step(),
    ]
}

impl Method for HeunMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_zero_snr(fields)?;
        let ladder = SigmaLadder::read_with_switches(fields, DIFFUSION)?;
        Ok(Self { ladder, limit: clipping(fields, false)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let next = self.ladder.timesteps_after(&rungs);
        let stage = |timestep, sigma| self.ladder.stage(timestep, sigma).limit(self.limit);
        let stages = rungs
            .from(request.begin)
            .zip(&next[request.begin..])
            .flat_map(|(rung, &next)| heun_step(rung, next, stage));
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
