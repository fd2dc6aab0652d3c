//! CFG++: "CFG++: Manifold-constrained Classifier Free Guidance for Diffusion Models", <https://arxiv.org/abs/2406.08070>:
//! the clean latents are those of the guided prediction, the noise that is put back is that of the prediction without
//! guidance. Without an output of that kind (`Run::advance`) these are Euler's method and DPM++ 2M.

use super::{Configured, DIFFUSION, Method, sigma_ladder::SigmaLadder};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Output, Sample, Stored, Unguided},
    },
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
    schedule::NoiseLevel,
};

/// `EulerCFGPPScheduler`, a class of this crate (algorithm 1 of the paper in terms of sigmas): its keys for the
/// model, the spacing and the sigmas are those of `EulerDiscreteScheduler`.
pub type EulerCfg = Configured<EulerCfgMethod>;

/// `DPMPP2MCFGPPScheduler`, a class of this crate (appendix of the paper), with the keys of [`EulerCfg`].
pub type DpmPlusPlus2MCfg = Configured<DpmPlusPlus2MCfgMethod>;

/// The method of [`EulerCfg`].
#[derive(Debug, Clone)]
pub struct EulerCfgMethod {
    ladder: SigmaLadder,
}

/// The method of [`DpmPlusPlus2MCfg`].
#[derive(Debug, Clone)]
pub struct DpmPlusPlus2MCfgMethod {
    ladder: SigmaLadder,
}

/// The clean latents as predicted without guidance.
fn unguided(ladder: &SigmaLadder, sigma: f64) -> Combination {
    let level = NoiseLevel::variance_exploding(sigma);
    level.denoised(ladder.prediction).replace(Output, Unguided)
}

impl Method for EulerCfgMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), DIFFUSION)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).map(|rung| {
            let noise = 1.0 * Sample - unguided(&self.ladder, rung.from);
            self.ladder
                .stage(rung.timestep, rung.from)
                .next(1.0 * Denoised + (rung.to / rung.from) * noise)
                .finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

impl Method for DpmPlusPlus2MCfgMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), DIFFUSION)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).enumerate().map(|(made, rung)| {
            let ratio = rung.to / rung.from;
            let unguided = unguided(&self.ladder, rung.from);
            let mut next = 1.0 * Denoised + ratio * (1.0 * Sample - unguided.clone());
            if made > 0 && rung.to > 0.0 {
                let before = rungs.sigmas[request.begin + made - 1];
                let r = (before / rung.from).ln() / (rung.from / rung.to).ln();
                next = next + ((1.0 - ratio) / (2.0 * r)) * (1.0 * Denoised - 1.0 * Stored(0));
            }
            let stage = self.ladder.stage(rung.timestep, rung.from);
            stage.store(0, unguided).next(next).finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
