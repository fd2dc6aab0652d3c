//! LCM: "Latent Consistency Models", <https://arxiv.org/abs/2310.04378>, algorithm 3 of its appendix: the consistency
//! function gives the clean latents, and fresh noise brings them to the next level.

use super::{
    Configured, DIFFUSION, Method, alpha_cumprod_at, clipping, ddpm::whole_and_falling,
    thresholding,
};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise, Sample},
    config::{Fields, TrainingConfig},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::{CustomSchedule, PlanRequest},
    schedule::{NoiseLevel, NoiseSchedule, PredictionType},
};

/// `sigma_data` of the skip that makes the function the identity at timestep 0.
const SIGMA_DATA: f64 = 0.5;

/// `LCMScheduler`.
pub type Lcm = Configured<LcmMethod>;

/// The method of [`Lcm`].
#[derive(Debug, Clone)]
pub struct LcmMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    steps: DistilledSteps,
    limit: Limit,
    timestep_scaling: f64,
}

/// The timesteps that distillation left: a subset of `original_inference_steps` evenly spaced ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct DistilledSteps {
    original: usize,
    num_train_timesteps: usize,
}

impl DistilledSteps {
    pub(super) fn read(
        fields: Fields<'_>,
        num_train_timesteps: usize,
    ) -> Result<Self, ConfigError> {
        let original = fields.count("original_inference_steps", 50, 1, num_train_timesteps)?;
        Ok(Self { original, num_train_timesteps })
    }

    /// Falling timesteps, custom ones if the request has them.
    pub(super) fn timesteps(
        self,
        request: &PlanRequest,
        class: &'static str,
    ) -> Result<Vec<i64>, PlanError> {
        if let Some(CustomSchedule::Timesteps(custom)) = &request.custom {
            return whole_and_falling(custom);
        }
        request.refuse_custom(class)?;
        let (steps, limit) = (request.steps, self.original);
        if steps > limit {
            return Err(PlanError::TooManySteps { steps, limit });
        }
        let stride = self.num_train_timesteps / self.original;
        let falling = |index: usize| ((limit - index) * stride) as i64 - 1;
        let place = |step: usize| (step as f64 * (limit as f64 / steps as f64)).floor() as usize;
        Ok((0..steps).map(|step| falling(place(step))).collect())
    }
}

impl Method for LcmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        let training = TrainingConfig::read(fields)?;
        let clip = clipping(fields, false)?;
        Ok(Self {
            prediction: training.predicts_one_of(fields, DIFFUSION)?,
            schedule: training.schedule()?,
            steps: DistilledSteps::read(fields, training.num_train_timesteps)?,
            limit: thresholding(fields)?.unwrap_or(clip),
            timestep_scaling: fields.number_from("timestep_scaling", 10.0, 0.0)?,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let timesteps = self.steps.timesteps(request, "LCMScheduler")?;
        let stage = |index: usize| {
            let timestep = timesteps[index];
            let level =
                NoiseLevel::variance_preserving(alpha_cumprod_at(&self.schedule, timestep)?);
            let scaled = timestep as f64 * self.timestep_scaling;
            let variance = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
            let consistent = (scaled / variance.sqrt()) * Denoised
                + (SIGMA_DATA * SIGMA_DATA / variance) * Sample;
            let next = match timesteps.get(index + 1) {
                None => consistent,
                Some(&next) => {
                    let alpha = alpha_cumprod_at(&self.schedule, next)?;
                    let to = NoiseLevel::variance_preserving(alpha);
                    to.signal * consistent + to.noise * Noise
                }
            };
            let stage = Stage::new(timestep as f64, level, self.prediction);
            Ok(stage.limit(self.limit).next(next).finish_step())
        };
        let stages = (request.begin..request.steps).map(stage).collect::<Result<_, _>>()?;
        Plan::from_stages(request, stages, NoiseLevel::CLEAN)
    }
}
