//! Heun's method: "Elucidating the Design Space of Diffusion-Based Generative Models",
//! <https://arxiv.org/abs/2206.00364>, algorithm 1 without churn. Every step but the last evaluates twice.

use crate::{
    Scheduler, SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Sample, Stored},
    },
    config::TrainingConfig,
    error::{ConfigError, PlanError},
    plan::{Plan, PlanRequest},
    program::{Limit, Stage},
    samplers::{HEUN_BETAS, clipping, ends, refuse_zero_snr, sigmas_at},
    schedule::{NoiseLevel, NoiseSchedule, SigmaRule, Spacing, TimestepSpacing},
};

/// Slot of the derivative at the beginning of the step.
const DERIVATIVE: usize = 0;
/// Slot of the latents at the beginning of the step.
const START: usize = 1;

/// `HeunDiscreteScheduler`.
#[derive(Debug, Clone)]
pub struct Heun {
    config: SchedulerConfig,
    training: TrainingConfig,
    schedule: NoiseSchedule,
    spacing: Spacing,
    rule: SigmaRule,
    limit: Limit,
}

impl Heun {
    /// # Errors
    /// If a key has the wrong type or an impossible value.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_zero_snr(fields)?;
        let training = TrainingConfig::read(fields, HEUN_BETAS)?;
        Ok(Self {
            schedule: training.schedule()?,
            spacing: Spacing::read(fields, TimestepSpacing::Linspace)?,
            rule: SigmaRule::read(fields)?,
            limit: clipping(fields, false)?,
            training,
            config,
        })
    }

    fn stage(&self, timestep: f64, sigma: f64) -> Stage {
        let level = NoiseLevel::variance_exploding(sigma);
        Stage::new(timestep, level, self.training.prediction_type).limit(self.limit)
    }

    /// The evaluations of the step from one `(timestep, sigma)` to another, or to sigma 0.
    fn step(&self, from: (f64, f64), to: Option<(f64, f64)>) -> Vec<Stage> {
        let change = to.map_or(0.0, |(_, sigma)| sigma) - from.1;
        let euler = || 1.0 * Sample + change * derivative(from.1);
        let first = self.stage(from.0, from.1);
        let Some(to) = to else { return vec![first.next(euler()).finish_step()] };
        let corrected =
            1.0 * Stored(START) + (0.5 * change) * (1.0 * Stored(DERIVATIVE) + derivative(to.1));
        vec![
            first.store(DERIVATIVE, derivative(from.1)).store(START, 1.0 * Sample).next(euler()),
            self.stage(to.0, to.1).next(corrected).finish_step(),
        ]
    }
}

/// The slope of the probability flow in sigma.
fn derivative(sigma: f64) -> Combination {
    (1.0 / sigma) * (1.0 * Sample - 1.0 * Denoised)
}

impl Scheduler for Heun {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        let training_sigmas = self.schedule.sigmas();
        let mut timesteps = self.spacing.timesteps(training_sigmas.len(), request.steps)?;
        let mut sigmas = sigmas_at(&training_sigmas, &timesteps);
        let (least, most) = ends(&sigmas);
        self.rule.apply(&mut timesteps, &mut sigmas, (least, most), &training_sigmas);
        let levels: Vec<(f64, f64)> = timesteps.into_iter().zip(sigmas).collect();
        let stages = (request.begin..levels.len())
            .flat_map(|index| self.step(levels[index], levels.get(index + 1).copied()))
            .collect();
        let init_noise_sigma = self.spacing.init_noise_sigma(most);
        Ok(Plan::from_stages(request, stages, NoiseLevel::variance_exploding(0.0))?
            .with_init_noise_sigma(init_noise_sigma))
    }
}
