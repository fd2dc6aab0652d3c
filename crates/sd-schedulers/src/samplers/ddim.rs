//! DDIM: "Denoising Diffusion Implicit Models", <https://arxiv.org/abs/2010.02502>, formulas (12) and (16).

use super::{
    Configured, DIFFUSION, Method, alpha_cumprod_at, alpha_cumprod_beyond, clipping, thresholding,
};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise},
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::PlanRequest,
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

/// `DDIMScheduler`.
pub type Ddim = Configured<DdimMethod>;

/// The method of [`Ddim`].
#[derive(Debug, Clone)]
pub struct DdimMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    spacing: Spacing,
    limit: Limit,
    final_alpha_cumprod: f64,
}

impl DdimMethod {
    fn stage(&self, timestep: i64, previous: i64, eta: f64) -> Result<Stage, PlanError> {
        let alpha = alpha_cumprod_at(&self.schedule, timestep)?;
        let alpha_previous = if previous < 0 {
            self.final_alpha_cumprod
        } else {
            alpha_cumprod_at(&self.schedule, previous)?
        };
        let variance = (1.0 - alpha_previous) / (1.0 - alpha) * (1.0 - alpha / alpha_previous);
        let std_dev = eta * variance.max(0.0).sqrt();
        let direction = 1.0 - alpha_previous - std_dev * std_dev;
        // Rounding alone may bring it below zero, where all of the noise is fresh.
        if direction < -1e-12 {
            return Err(PlanError::Eta { eta });
        }
        let level = NoiseLevel::variance_preserving(alpha);
        // The noise is that of the unbounded prediction (diffusers' use_clipped_model_output = false).
        let mut next = alpha_previous.sqrt() * Denoised
            + direction.max(0.0).sqrt() * level.epsilon(self.prediction);
        if eta > 0.0 {
            next = next + std_dev * Noise;
        }
        Ok(Stage::new(timestep as f64, level, self.prediction)
            .limit(self.limit)
            .next(next)
            .finish_step())
    }
}

impl Method for DdimMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        let training = TrainingConfig::read(fields)?;
        let schedule = training.schedule()?;
        let clip = clipping(fields, true)?;
        Ok(Self {
            prediction: training.predicts_one_of(fields, DIFFUSION)?,
            spacing: Spacing::read(fields, TimestepSpacing::Leading)?,
            limit: thresholding(fields)?.unwrap_or(clip),
            final_alpha_cumprod: alpha_cumprod_beyond(fields, &schedule, true)?,
            schedule,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("DDIMScheduler")?;
        let (steps, limit) = (request.steps, self.schedule.num_train_timesteps());
        if steps > limit {
            return Err(PlanError::TooManySteps { steps, limit });
        }
        // Not the next timestep of the list: for linspace and trailing they differ.
        let step = (limit / steps) as i64;
        let timesteps = self.spacing.whole_timesteps(limit, steps)?;
        let stages =
            timesteps[request.begin..].iter().map(|&t| self.stage(t, t - step, request.eta));
        let final_level = NoiseLevel::variance_preserving(self.final_alpha_cumprod);
        Plan::from_stages(request, stages.collect::<Result<_, _>>()?, final_level)
    }
}
