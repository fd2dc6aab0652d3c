//! Ancestral sampling with Euler steps, from k-diffusion's `sample_euler_ancestral`
//! (<https://github.com/crowsonkb/k-diffusion>): a step beyond the target level, and fresh noise back up to it.

use crate::{
    Scheduler, SchedulerConfig,
    combination::Value::{Denoised, Noise, Sample},
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::{Plan, PlanRequest},
    program::Stage,
    samplers::{DEFAULT_BETAS, ends, sigma_schedule, sigmas_at},
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

/// `EulerAncestralDiscreteScheduler`.
#[derive(Debug, Clone)]
pub struct EulerAncestral {
    config: SchedulerConfig,
    training: TrainingConfig,
    schedule: NoiseSchedule,
    spacing: Spacing,
}

impl EulerAncestral {
    /// # Errors
    /// If a key has the wrong type or an impossible value, or the model predicts the sample itself.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let training = TrainingConfig::read(fields, DEFAULT_BETAS)?;
        if training.prediction_type == PredictionType::Sample {
            return Err(fields.unsupported("prediction_type", training.prediction_type));
        }
        Ok(Self {
            schedule: sigma_schedule(&training)?,
            spacing: Spacing::read(fields, TimestepSpacing::Linspace)?,
            training,
            config,
        })
    }
}

impl Scheduler for EulerAncestral {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        let training_sigmas = self.schedule.sigmas();
        let timesteps = self.spacing.timesteps(training_sigmas.len(), request.steps)?;
        let mut sigmas = sigmas_at(&training_sigmas, &timesteps);
        let (_, sigma_max) = ends(&sigmas);
        sigmas.push(0.0);
        let stage = |(&timestep, pair): (&f64, &[f64])| {
            let (from, to) = (pair[0], pair[1]);
            let sigma_up = (to * to * (from * from - to * to) / (from * from)).max(0.0).sqrt();
            let sigma_down = (to * to - sigma_up * sigma_up).max(0.0).sqrt();
            let ratio = sigma_down / from;
            // The noise is drawn in the last step too, where sigma_up is 0, so that the generator goes on as in diffusers.
            Stage::new(
                timestep,
                NoiseLevel::variance_exploding(from),
                self.training.prediction_type,
            )
            .next(ratio * Sample + (1.0 - ratio) * Denoised + sigma_up * Noise)
            .finish_step()
        };
        let stages =
            timesteps.iter().zip(sigmas.windows(2)).skip(request.begin).map(stage).collect();
        let init_noise_sigma = self.spacing.init_noise_sigma(sigma_max);
        Ok(Plan::from_stages(request, stages, NoiseLevel::variance_exploding(0.0))?
            .with_init_noise_sigma(init_noise_sigma))
    }
}
