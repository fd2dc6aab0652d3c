//! DDPM: "Denoising Diffusion Probabilistic Models", <https://arxiv.org/abs/2006.11239>, formulas (6) and (7), over any
//! subsequence of the timesteps.

use super::{Configured, DIFFUSION, Method, alpha_cumprod_at, clipping, thresholding};
use crate::{
    SchedulerConfig,
    combination::Value::{Denoised, Noise, Sample},
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::Plan,
    program::{Limit, Stage},
    request::{CustomSchedule, PlanRequest},
    schedule::{NoiseLevel, NoiseSchedule, PredictionType, Spacing, TimestepSpacing},
};

named_enum! {
    /// The variance of the fresh noise. Those that the model learns, and `fixed_large_log` (whose root diffusers takes of a
    /// negative number), are not known.
    pub enum VarianceType ("variance type") {
        /// That of the posterior for clean data.
        Small = "fixed_small",
        /// The same, computed by logarithms.
        SmallLog = "fixed_small_log",
        /// That of the posterior for data that are noise: beta.
        Large = "fixed_large",
    }
}

/// `DDPMScheduler`.
pub type Ddpm = Configured<DdpmMethod>;

/// The method of [`Ddpm`].
#[derive(Debug, Clone)]
pub struct DdpmMethod {
    prediction: PredictionType,
    schedule: NoiseSchedule,
    spacing: Spacing,
    limit: Limit,
    variance: VarianceType,
}

impl DdpmMethod {
    fn stage(&self, timestep: i64, previous: Option<i64>) -> Result<Stage, PlanError> {
        let alpha = alpha_cumprod_at(&self.schedule, timestep)?;
        let alpha_previous = match previous {
            Some(timestep) => alpha_cumprod_at(&self.schedule, timestep)?,
            None => 1.0,
        };
        let ratio = alpha / alpha_previous;
        let (beta, rest) = (1.0 - ratio, (1.0 - alpha_previous) / (1.0 - alpha));
        let mut next = (alpha_previous.sqrt() * beta / (1.0 - alpha)) * Denoised
            + (ratio.sqrt() * rest) * Sample;
        if timestep > 0 {
            let variance = match self.variance {
                VarianceType::Large => beta,
                _ => (rest * beta).max(1e-20),
            };
            next = next + variance.sqrt() * Noise;
        }
        let level = NoiseLevel::variance_preserving(alpha);
        let stage = Stage::new(timestep as f64, level, self.prediction);
        Ok(stage.limit(self.limit).next(next).finish_step())
    }
}

impl Method for DdpmMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::refuse_sigma_schedule(fields)?;
        let training = TrainingConfig::read(fields)?;
        let clip = clipping(fields, true)?;
        let variance = match fields.text("variance_type", "fixed_small")?.as_str() {
            known @ ("learned" | "learned_range" | "fixed_large_log") => {
                return Err(fields.unsupported("variance_type", known));
            }
            _ => fields.name("variance_type", VarianceType::Small)?,
        };
        Ok(Self {
            prediction: training.predicts_one_of(fields, DIFFUSION)?,
            schedule: training.schedule()?,
            spacing: Spacing::read(fields, TimestepSpacing::Leading)?,
            limit: thresholding(fields)?.unwrap_or(clip),
            variance,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let (steps, limit) = (request.steps, self.schedule.num_train_timesteps());
        let timesteps = match &request.custom {
            Some(CustomSchedule::Timesteps(custom)) => whole_and_falling(custom)?,
            _ => {
                request.refuse_custom("DDPMScheduler")?;
                if steps > limit {
                    return Err(PlanError::TooManySteps { steps, limit });
                }
                self.spacing.whole_timesteps(limit, steps)?
            }
        };
        let stages = (request.begin..steps)
            .map(|index| self.stage(timesteps[index], timesteps.get(index + 1).copied()));
        Plan::from_stages(request, stages.collect::<Result<_, _>>()?, NoiseLevel::CLEAN)
    }
}

/// Custom timesteps of samplers that go from one training step to an earlier one.
pub(super) fn whole_and_falling(custom: &[f64]) -> Result<Vec<i64>, PlanError> {
    if let Some(pair) = custom.windows(2).find(|pair| pair[1].trunc() >= pair[0].trunc()) {
        let (previous, next) = (pair[0], pair[1]);
        return Err(PlanError::CustomOrder { what: "timesteps", previous, next });
    }
    Ok(custom.iter().map(|&timestep| timestep as i64).collect())
}
