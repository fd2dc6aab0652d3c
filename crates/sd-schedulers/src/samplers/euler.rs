//! Euler's method on the probability flow: "Elucidating the Design Space of Diffusion-Based Generative Models",
//! <https://arxiv.org/abs/2206.00364>, algorithm 2 without churn.

use crate::{
    Scheduler, SchedulerConfig,
    combination::Value::{Denoised, Sample},
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::{Plan, PlanRequest},
    program::Stage,
    samplers::{DEFAULT_BETAS, ends, sigma_schedule, sigmas_at},
    schedule::{
        FinalSigmas, NoiseLevel, NoiseSchedule, PredictionType, SigmaRule, Spacing,
        TimestepSpacing, log_linear_sigmas,
    },
};

named_enum! {
    /// How the sigmas between those of training are found.
    pub enum InterpolationType ("interpolation type") {
        /// At the timesteps, linearly.
        Linear = "linear",
        /// Evenly spaced logarithms, whatever the timesteps.
        LogLinear = "log_linear",
    }
}

named_enum! {
    /// What the model is told as its timestep.
    pub enum TimestepType ("timestep type") {
        /// The training timestep.
        Discrete = "discrete",
        /// A quarter of the logarithm of sigma, for models trained so (only with v-prediction).
        Continuous = "continuous",
    }
}

/// `EulerDiscreteScheduler`.
#[derive(Debug, Clone)]
pub struct Euler {
    config: SchedulerConfig,
    training: TrainingConfig,
    schedule: NoiseSchedule,
    spacing: Spacing,
    interpolation: InterpolationType,
    timestep_type: TimestepType,
    rule: SigmaRule,
    sigma_min: Option<f64>,
    sigma_max: Option<f64>,
    final_sigmas: FinalSigmas,
}

impl Euler {
    /// # Errors
    /// If a key has the wrong type or an impossible value.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        let training = TrainingConfig::read(fields, DEFAULT_BETAS)?;
        Ok(Self {
            schedule: sigma_schedule(&training)?,
            spacing: Spacing::read(fields, TimestepSpacing::Linspace)?,
            interpolation: fields.name("interpolation_type", InterpolationType::Linear)?,
            timestep_type: fields.name("timestep_type", TimestepType::Discrete)?,
            rule: SigmaRule::read(fields)?,
            sigma_min: fields.optional_number("sigma_min")?,
            sigma_max: fields.optional_number("sigma_max")?,
            final_sigmas: fields.name("final_sigmas_type", FinalSigmas::Zero)?,
            training,
            config,
        })
    }

    /// Timesteps, and sigmas with one more at least.
    fn ladder(&self, steps: usize) -> Result<(Vec<f64>, Vec<f64>), PlanError> {
        let training_sigmas = self.schedule.sigmas();
        let mut timesteps = self.spacing.timesteps(training_sigmas.len(), steps)?;
        let mut sigmas = match self.interpolation {
            InterpolationType::Linear => sigmas_at(&training_sigmas, &timesteps),
            InterpolationType::LogLinear => {
                let (most, least) = ends(&training_sigmas);
                log_linear_sigmas(least, most, steps + 1)
            }
        };
        let (least, most) = ends(&sigmas);
        let ends = (self.sigma_min.unwrap_or(least), self.sigma_max.unwrap_or(most));
        self.rule.apply(&mut timesteps, &mut sigmas, ends, &training_sigmas);
        sigmas.push(match self.final_sigmas {
            FinalSigmas::Zero => 0.0,
            FinalSigmas::SigmaMin => self.schedule.sigma_min(),
        });
        if self.timestep_type == TimestepType::Continuous
            && self.training.prediction_type == PredictionType::VPrediction
        {
            timesteps = sigmas.iter().take(steps).map(|sigma| 0.25 * sigma.ln()).collect();
        }
        Ok((timesteps, sigmas))
    }
}

impl Scheduler for Euler {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        let (timesteps, sigmas) = self.ladder(request.steps)?;
        let stage = |(&timestep, pair): (&f64, &[f64])| {
            let ratio = pair[1] / pair[0];
            Stage::new(
                timestep,
                NoiseLevel::variance_exploding(pair[0]),
                self.training.prediction_type,
            )
            .next(ratio * Sample + (1.0 - ratio) * Denoised)
            .finish_step()
        };
        let stages =
            timesteps.iter().zip(sigmas.windows(2)).skip(request.begin).map(stage).collect();
        let final_level = NoiseLevel::variance_exploding(sigmas[timesteps.len()]);
        let init_noise_sigma =
            self.spacing.init_noise_sigma(sigmas.iter().copied().fold(0.0, f64::max));
        Ok(Plan::from_stages(request, stages, final_level)?.with_init_noise_sigma(init_noise_sigma))
    }
}
