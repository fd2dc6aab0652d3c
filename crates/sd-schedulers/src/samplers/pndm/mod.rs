//! PNDM: "Pseudo Numerical Methods for Diffusion Models on Manifolds", <https://arxiv.org/abs/2202.09778>, formulas (9)
//! and (12), algorithm 2.
//!
//! With `skip_prk_steps` (PLMS, as Stable Diffusion ships it) the first step evaluates twice and every other step once;
//! without, the first three steps are Runge-Kutta steps of four evaluations each.

mod plms;
mod runge_kutta;

use super::{
    Configured, Method, NO_SAMPLE, alpha_cumprod_at, alpha_cumprod_beyond, refuse_zero_snr,
};
use crate::{
    SchedulerConfig,
    combination::Combination,
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::PlanRequest,
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

/// `PNDMScheduler`.
pub type Pndm = Configured<PndmMethod>;

/// The method of [`Pndm`].
#[derive(Debug, Clone)]
pub struct PndmMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    spacing: Spacing,
    skip_prk_steps: bool,
    final_alpha_cumprod: f64,
}

impl PndmMethod {
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
        let epsilon = match self.prediction {
            PredictionType::VPrediction => alpha.sqrt() * output + beta.sqrt() * sample.clone(),
            _ => output,
        };
        let denominator = alpha * beta_to.sqrt() + (alpha * beta * alpha_to).sqrt();
        Ok((alpha_to / alpha).sqrt() * sample - ((alpha_to - alpha) / denominator) * epsilon)
    }

    fn stage(&self, timestep: i64) -> Result<Stage, PlanError> {
        let level = NoiseLevel::variance_preserving(alpha_cumprod_at(&self.schedule, timestep)?);
        Ok(Stage::new(timestep as f64, level, self.prediction))
    }
}

impl Method for PndmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        refuse_zero_snr(fields)?;
        let training = TrainingConfig::read(fields)?;
        let schedule = training.schedule()?;
        Ok(Self {
            prediction: training.predicts_one_of(fields, NO_SAMPLE)?,
            spacing: Spacing::read(fields, TimestepSpacing::Leading)?,
            skip_prk_steps: fields.flag("skip_prk_steps", false)?,
            final_alpha_cumprod: alpha_cumprod_beyond(fields, &schedule, false)?,
            schedule,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.refuse_custom("PNDMScheduler")?;
        let count = self.schedule.num_train_timesteps();
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
