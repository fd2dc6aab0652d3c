//! DPM++ 2S a, from k-diffusion's `sample_dpmpp_2s_ancestral` (<https://github.com/crowsonkb/k-diffusion>): single steps of
//! DPM-Solver++ of order two (<https://arxiv.org/abs/2211.01095>, algorithm 1 with r = 1/2) beyond the target level, and
//! fresh noise back up to it.

use super::{
    Configured, DIFFUSION, Method, ancestral,
    sigma_ladder::{Rung, SigmaLadder},
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{self, Denoised, Noise, Sample, Stored},
    },
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
};

/// `DPMPP2SAncestralScheduler`, a class of this crate (diffusers has none): its keys for the model, the spacing and
/// the sigmas are those of `EulerDiscreteScheduler`.
pub type DpmPlusPlus2SAncestral = Configured<DpmPlusPlus2SAncestralMethod>;

/// The method of [`DpmPlusPlus2SAncestral`].
#[derive(Debug, Clone)]
pub struct DpmPlusPlus2SAncestralMethod {
    ladder: SigmaLadder,
}

/// The exact step from a sigma to another for clean latents that stay as they are.
pub(super) fn exponential(from: f64, to: f64, start: Value, denoised: Combination) -> Combination {
    let ratio = to / from;
    ratio * start + (1.0 - ratio) * denoised
}

impl Method for DpmPlusPlus2SAncestralMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), DIFFUSION)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let step = |Rung { timestep, from, to }: Rung| -> Vec<Stage> {
            let first = self.ladder.stage(timestep, from);
            if to == 0.0 {
                return vec![first.next(1.0 * Denoised).finish_step()];
            }
            let (down, up) = ancestral(from, to);
            let middle = (from * down).sqrt();
            let second = exponential(from, down, Stored(0), 1.0 * Denoised) + up * Noise;
            let next = exponential(from, middle, Sample, 1.0 * Denoised);
            let timestep = self.ladder.timestep_of(middle);
            vec![
                first.store(0, 1.0 * Sample).next(next),
                self.ladder.stage(timestep, middle).next(second).finish_step(),
            ]
        };
        let stages = rungs.from(request.begin).flat_map(step);
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
