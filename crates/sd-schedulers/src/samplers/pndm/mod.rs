//! PNDM: "Pseudo Numerical Methods for Diffusion Models on Manifolds", <https://arxiv.org/abs/2202.09778>, formulas (9)
//! and (12), algorithm 2.
//!
//! With `skip_prk_steps` (PLMS, as Stable Diffusion ships it) the first step evaluates twice and every other step once;
//! without, the first three steps are Runge-Kutta steps of four evaluations each.

mod plms;
mod runge_kutta;

use crate::{
    Scheduler, SchedulerConfig,
    combination::Combination,
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::{Plan, PlanRequest},
    program::Stage,
    samplers::{DEFAULT_BETAS, alpha_cumprod_at, refuse_zero_snr},
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

/// `PNDMScheduler`.
#[derive(Debug, Clone)]
pub struct Pndm {
    config: SchedulerConfig,
    training: TrainingConfig,
    schedule: NoiseSchedule,
    spacing: Spacing,
    skip_prk_steps: bool,
    final_alpha_cumprod: f64,
}

impl Pndm {
    /// # Errors
    /// If a key has the wrong type or an impossible value, or the model predicts the sample itself.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_zero_snr(fields)?;
        let training = TrainingConfig::read(fields, DEFAULT_BETAS)?;
        if training.prediction_type == PredictionType::Sample {
            return Err(fields.unsupported("prediction_type", training.prediction_type));
        }
        let schedule = training.schedule()?;
        let final_alpha_cumprod = match fields.flag("set_alpha_to_one", false)? {
            true => 1.0,
            false => schedule.alphas_cumprod()[0],
        };
        Ok(Self {
            spacing: Spacing::read(fields, TimestepSpacing::Leading)?,
            skip_prk_steps: fields.flag("skip_prk_steps", false)?,
            final_alpha_cumprod,
            training,
            schedule,
            config,
        })
    }

    fn alpha_cumprod(&self, timestep: i64) -> Result<f64, PlanError> {
        if timestep < 0 {
            Ok(self.final_alpha_cumprod)
        } else {
            alpha_cumprod_at(&self.schedule, timestep)
        }
    }

    /// Formula (9): `sample` at one timestep, moved to another along `output`.
    fn transfer(
        &self,
        from: i64,
        to: i64,
        sample: Combination,
        output: Combination,
    ) -> Result<Combination, PlanError> {
        let (alpha, alpha_to) = (alpha_cumprod_at(&self.schedule, from)?, self.alpha_cumprod(to)?);
        let (beta, beta_to) = (1.0 - alpha, 1.0 - alpha_to);
        let epsilon = match self.training.prediction_type {
            PredictionType::VPrediction => alpha.sqrt() * output + beta.sqrt() * sample.clone(),
            _ => output,
        };
        let denominator = alpha * beta_to.sqrt() + (alpha * beta * alpha_to).sqrt();
        Ok((alpha_to / alpha).sqrt() * sample - ((alpha_to - alpha) / denominator) * epsilon)
    }

    fn stage(&self, timestep: i64) -> Result<Stage, PlanError> {
        let level = NoiseLevel::variance_preserving(alpha_cumprod_at(&self.schedule, timestep)?);
        Ok(Stage::new(timestep as f64, level, self.training.prediction_type))
    }
}

impl Scheduler for Pndm {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        let count = self.training.num_train_timesteps;
        let timesteps = self.spacing.whole_timesteps(count, request.steps)?;
        let step = (count / request.steps) as i64;
        let stages = if self.skip_prk_steps {
            self.multistep_stages(&timesteps, step, request.begin)?
        } else {
            if request.steps < 4 {
                let reason = "the Runge-Kutta warm-up of PNDM";
                return Err(PlanError::TooFewSteps { steps: request.steps, needed: 4, reason });
            }
            self.runge_kutta_stages(&timesteps[request.begin..], step)?
        };
        Plan::from_stages(
            request,
            stages,
            NoiseLevel::variance_preserving(self.final_alpha_cumprod),
        )
    }
}
