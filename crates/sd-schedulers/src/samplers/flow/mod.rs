//! Flow matching, as in SD 3: "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis",
//! <https://arxiv.org/abs/2403.03206>: the model predicts the velocity on the straight way between image and noise.

mod ladder;

use super::{Configured, Method};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise, Output, Sample, Stored},
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
};
use ladder::FlowLadder;

/// `FlowMatchEulerDiscreteScheduler`.
pub type FlowEuler = Configured<FlowEulerMethod>;

/// `FlowMatchHeunDiscreteScheduler`.
pub type FlowHeun = Configured<FlowHeunMethod>;

/// `FlowMatchLCMScheduler`, without its change of size between the steps.
pub type FlowLcm = Configured<FlowLcmMethod>;

/// The method of [`FlowEuler`].
#[derive(Debug, Clone)]
pub struct FlowEulerMethod {
    ladder: FlowLadder,
    stochastic: bool,
}

/// The method of [`FlowHeun`].
#[derive(Debug, Clone)]
pub struct FlowHeunMethod {
    ladder: FlowLadder,
}

/// The method of [`FlowLcm`].
#[derive(Debug, Clone)]
pub struct FlowLcmMethod {
    ladder: FlowLadder,
}

impl Method for FlowEulerMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let (ladder, stochastic) =
            (FlowLadder::read(fields)?, fields.switch("stochastic_sampling")?);
        if stochastic && ladder.is_inverted() {
            return Err(fields.unsupported("stochastic_sampling", "true with invert_sigmas"));
        }
        Ok(Self { ladder, stochastic })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).map(|rung| {
            let next = match self.stochastic {
                true => (1.0 - rung.to) * Denoised + rung.to * Noise,
                false => 1.0 * Sample + (rung.to - rung.from) * Output,
            };
            self.ladder.stage(rung.timestep, rung.from).next(next).finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

impl Method for FlowHeunMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        super::refuse_sigma_schedule(config.fields())?;
        Ok(Self { ladder: FlowLadder::read_static(config.fields())? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("FlowMatchHeunDiscreteScheduler")?;
        let rungs = self.ladder.rungs(request)?;
        let next_timesteps = rungs.timesteps.iter().skip(1 + request.begin).copied().chain([0.0]);
        let stages = rungs.from(request.begin).zip(next_timesteps).flat_map(|(rung, next)| {
            let change = rung.to - rung.from;
            let first = self.ladder.stage(rung.timestep, rung.from);
            let first = first.next(1.0 * Sample + change * Output);
            if rung.to == 0.0 {
                return vec![first.finish_step()];
            }
            let mean = 0.5 * (1.0 * Stored(0) + 1.0 * Output);
            vec![
                first.store(0, 1.0 * Output).store(1, 1.0 * Sample),
                self.ladder
                    .stage(next, rung.to)
                    .next(1.0 * Stored(1) + change * mean)
                    .finish_step(),
            ]
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

impl Method for FlowLcmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        if fields.values.get("scale_factors").is_some_and(|value| !value.is_null()) {
            return Err(fields.unsupported("scale_factors", "a list"));
        }
        let ladder = FlowLadder::read(fields)?;
        if ladder.is_inverted() {
            return Err(fields.unsupported("invert_sigmas", true));
        }
        Ok(Self { ladder })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).map(|rung| {
            // Drawn in the last step, too, where it has no weight.
            let next = (1.0 - rung.to) * Denoised + rung.to * Noise;
            self.ladder.stage(rung.timestep, rung.from).next(next).finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}
