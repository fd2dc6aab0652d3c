//! DPM++ SDE and DPM++ 3M SDE, from k-diffusion's `sample_dpmpp_sde` and `sample_dpmpp_3m_sde`
//! (<https://github.com/crowsonkb/k-diffusion>): DPM-Solver++ (<https://arxiv.org/abs/2211.01095>) on the stochastic
//! equation. Their noise is that of a Brownian motion over sigma, where the run has one.

use super::{
    Configured, DIFFUSION, Method, NO_SAMPLE, ancestral,
    dpm_ancestral::exponential,
    sigma_ladder::{Rung, SigmaLadder},
};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise, Sample, Stored},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
};

/// `DPMSolverSDEScheduler`: DPM++ SDE, two evaluations a step.
pub type DpmSde = Configured<DpmSdeMethod>;

/// `DPMPP3MSDEScheduler`, a class of this crate: its keys for the model, the spacing and the sigmas are those of
/// `EulerDiscreteScheduler`. diffusers' own third-order stochastic update (`DPMSolverMultistepScheduler` with `solver_order` 3) has a term with the other sign.
pub type DpmPlusPlus3MSde = Configured<DpmPlusPlus3MSdeMethod>;

/// The method of [`DpmSde`].
#[derive(Debug, Clone)]
pub struct DpmSdeMethod {
    ladder: SigmaLadder,
}

/// The method of [`DpmPlusPlus3MSde`].
#[derive(Debug, Clone)]
pub struct DpmPlusPlus3MSdeMethod {
    ladder: SigmaLadder,
}

impl Method for DpmSdeMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        super::refuse_zero_snr(config.fields())?;
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), NO_SAMPLE)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let step = |Rung { timestep, from, to }: Rung| -> Vec<Stage> {
            let first = self.ladder.stage(timestep, from);
            if to == 0.0 {
                return vec![first.next(1.0 * Denoised).finish_step()];
            }
            let middle = (from * to).sqrt();
            // From the start of the step in either case, so the noise of the two overlaps.
            let part = |start, end: f64| {
                let (down, up) = ancestral(from, end);
                exponential(from, down, start, 1.0 * Denoised) + up * Noise
            };
            let timestep = self.ladder.timestep_of(middle);
            vec![
                first.store(0, 1.0 * Sample).next(part(Sample, middle)).noise_between(from, middle),
                self.ladder
                    .stage(timestep, middle)
                    .next(part(Stored(0), to))
                    .noise_between(from, to)
                    .finish_step(),
            ]
        };
        let stages = rungs.from(request.begin).flat_map(step);
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

impl Method for DpmPlusPlus3MSdeMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), DIFFUSION)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let sigmas = &rungs.sigmas;
        let steps = rungs.from(request.begin).enumerate().map(|(made, rung)| {
            let stage = self.ladder.stage(rung.timestep, rung.from);
            if rung.to == 0.0 {
                return stage.next(1.0 * Denoised).finish_step();
            }
            let index = made + request.begin;
            // lambda = -ln(sigma): the step that ends at a place of the ladder
            let h = |place: usize| (sigmas[place - 1] / sigmas[place]).ln();
            let (now, twice) = (h(index + 1), 2.0 * h(index + 1));
            let phi_1 = -(-twice).exp_m1();
            let phi_2 = 1.0 - phi_1 / twice;
            let phi_3 = phi_2 / twice - 0.5;
            let mut next = (-twice).exp() * Sample + phi_1 * Denoised;
            if made >= 1 {
                let r0 = h(index) / now;
                let slope = (1.0 / r0) * (1.0 * Denoised - 1.0 * Stored(0));
                next = next + phi_2 * slope.clone();
                if made >= 2 {
                    let r1 = h(index - 1) / now;
                    let earlier = (1.0 / r1) * (1.0 * Stored(0) - 1.0 * Stored(1));
                    let change = (1.0 / (r0 + r1)) * (slope - earlier);
                    next = next + (phi_2 * r0 - phi_3) * change;
                }
            }
            stage
                .remember(&[0, 1], made, 1.0 * Denoised)
                .next(next + (rung.to * phi_1.sqrt()) * Noise)
                .noise_between(rung.from, rung.to)
                .finish_step()
        });
        self.ladder.plan(request, &rungs, steps.collect())
    }
}
