//! DDIM backwards, from a clean image to the noise that leads to it: "Denoising Diffusion Implicit Models",
//! <https://arxiv.org/abs/2010.02502>, formula (12) without fresh noise, read from the other end.

use super::{Configured, DIFFUSION, Method, alpha_cumprod_at, alpha_cumprod_beyond, clipping};
use crate::{
    SchedulerConfig,
    combination::Value::Denoised,
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::PlanRequest,
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

/// `DDIMInverseScheduler`: its timesteps rise, and a run starts from clean latents.
pub type DdimInverse = Configured<DdimInverseMethod>;

/// The method of [`DdimInverse`].
#[derive(Debug, Clone)]
pub struct DdimInverseMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    spacing: Spacing,
    limit: Limit,
    initial_alpha_cumprod: f64,
}

impl Method for DdimInverseMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        let training = TrainingConfig::read(fields)?;
        let schedule = training.schedule()?;
        let spacing = Spacing::read(fields, TimestepSpacing::Leading)?;
        if spacing.kind == TimestepSpacing::Linspace {
            return Err(fields.unsupported("timestep_spacing", spacing.kind));
        }
        Ok(Self {
            prediction: training.predicts_one_of(fields, DIFFUSION)?,
            limit: clipping(fields, true)?,
            initial_alpha_cumprod: alpha_cumprod_beyond(fields, &schedule, true)?,
            spacing,
            schedule,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("DDIMInverseScheduler")?;
        let (steps, limit) = (request.steps, self.schedule.num_train_timesteps());
        if steps > limit {
            return Err(PlanError::TooManySteps { steps, limit });
        }
        let mut timesteps = self.spacing.whole_timesteps(limit, steps)?;
        timesteps.reverse();
        let step = (limit / steps) as i64;
        let stage = |&target: &i64| {
            // The model is told the timestep that the step leads to, and its output is read as of the one before.
            let before = (target - step).min(limit as i64 - 1);
            let alpha = match before < 0 {
                true => self.initial_alpha_cumprod,
                false => alpha_cumprod_at(&self.schedule, before)?,
            };
            let level = NoiseLevel::variance_preserving(alpha);
            let to = NoiseLevel::variance_preserving(alpha_cumprod_at(&self.schedule, target)?);
            let next = to.signal * Denoised + to.noise * level.epsilon(self.prediction);
            let stage = Stage::new(target as f64, level, self.prediction).limit(self.limit);
            Ok(stage.next(next).finish_step())
        };
        let stages = timesteps[request.begin..].iter().map(stage).collect::<Result<_, _>>()?;
        let last = alpha_cumprod_at(&self.schedule, timesteps[steps - 1])?;
        Plan::from_stages(request, stages, NoiseLevel::variance_preserving(last))
    }
}
