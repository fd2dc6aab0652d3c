//! The timesteps and sigmas of samplers in k-diffusion's terms: latents are the clean ones plus sigma times noise.

use crate::{
    config::{Fields, TrainingConfig},
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::Plan,
    program::Stage,
    request::{CustomSchedule, PlanRequest},
    samplers::{ends, sigmas_at},
    schedule::{
        FinalSigmas, NoiseLevel, NoiseSchedule, PredictionType, SigmaRule, SigmaSchedule, Spacing,
        TimestepSpacing, exponential_sigmas, log_sigmas_of, timestep_of_sigma,
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

/// How sigmas are placed, and what the model predicts. The class that reads it may set the public fields.
#[derive(Debug, Clone)]
pub(super) struct SigmaLadder {
    pub(super) prediction: PredictionType,
    pub(super) rule: SigmaRule,
    pub(super) interpolation: InterpolationType,
    pub(super) timestep_type: TimestepType,
    pub(super) final_sigmas: FinalSigmas,
    /// Whether the timesteps of Karras' sigmas are rounded.
    pub(super) whole_timesteps: bool,
    schedule: NoiseSchedule,
    /// Of training, rising.
    log_sigmas: Vec<f64>,
    spacing: Spacing,
}

/// One step: the timestep that the model is told, and the sigmas at both ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rung {
    pub(super) timestep: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// The steps of a run.
#[derive(Debug, Clone)]
pub(super) struct Rungs {
    /// One for each step.
    pub(super) timesteps: Vec<f64>,
    /// One for each step, and that of the result.
    pub(super) sigmas: Vec<f64>,
    pub(super) init_noise_sigma: f64,
}

impl Rungs {
    /// The steps from one on.
    pub(super) fn from(&self, begin: usize) -> impl Iterator<Item = Rung> {
        let pairs = self.timesteps.iter().zip(self.sigmas.windows(2)).skip(begin);
        pairs.map(|(&timestep, pair)| Rung { timestep, from: pair[0], to: pair[1] })
    }
}

impl SigmaLadder {
    /// Reads the keys that all of these classes share; the rules by name only.
    pub(super) fn read(
        fields: Fields<'_>,
        predictions: &[PredictionType],
    ) -> Result<Self, ConfigError> {
        let training = TrainingConfig::read(fields)?;
        let schedule = training.schedule()?.with_finite_sigmas();
        Ok(Self {
            prediction: training.predicts_one_of(fields, predictions)?,
            rule: SigmaRule::read_named(fields)?,
            interpolation: InterpolationType::Linear,
            timestep_type: TimestepType::Discrete,
            final_sigmas: FinalSigmas::Zero,
            whole_timesteps: false,
            log_sigmas: log_sigmas_of(&schedule.sigmas()),
            schedule,
            spacing: Spacing::read(fields, TimestepSpacing::Linspace)?,
        })
    }

    /// The same for classes with `use_karras_sigmas` and its siblings.
    pub(super) fn read_with_switches(
        fields: Fields<'_>,
        predictions: &[PredictionType],
    ) -> Result<Self, ConfigError> {
        Ok(Self { rule: SigmaRule::read(fields)?, ..Self::read(fields, predictions)? })
    }

    /// The steps of a whole run.
    pub(super) fn rungs(&self, request: &PlanRequest) -> Result<Rungs, PlanError> {
        let training = self.schedule.sigmas();
        let (mut timesteps, sigmas) = match &request.custom {
            None => self.placed(request.steps, &training)?,
            Some(CustomSchedule::Timesteps(timesteps)) => {
                self.refuse_rules()?;
                let mut sigmas = sigmas_at(&training, timesteps);
                sigmas.push(self.final_sigma());
                (timesteps.to_vec(), sigmas)
            }
            Some(CustomSchedule::Sigmas(sigmas)) => {
                (self.timesteps_of(&sigmas[..request.steps]), sigmas.to_vec())
            }
        };
        if self.is_continuous() {
            timesteps = sigmas.iter().take(request.steps).map(|sigma| 0.25 * sigma.ln()).collect();
        }
        let most = sigmas.iter().copied().fold(0.0, f64::max);
        Ok(Rungs { init_noise_sigma: self.spacing.init_noise_sigma(most), timesteps, sigmas })
    }

    /// Timesteps and sigmas by the rules, with the final one.
    fn placed(&self, steps: usize, training: &[f64]) -> Result<(Vec<f64>, Vec<f64>), PlanError> {
        let mut timesteps = self.spacing.timesteps(training.len(), steps)?;
        let mut sigmas = match self.interpolation {
            InterpolationType::Linear => sigmas_at(training, &timesteps),
            InterpolationType::LogLinear => {
                let (most, least) = ends(training);
                exponential_sigmas(least, most, steps + 1)
            }
        };
        if let Some(curve) = self.rule.sigmas(steps, ends(&sigmas), training)? {
            timesteps = self.timesteps_of(&curve);
            if self.whole_timesteps && self.rule.schedule == Some(SigmaSchedule::Karras) {
                timesteps.iter_mut().for_each(|value| *value = value.round_ties_even());
            }
            sigmas = curve;
        }
        sigmas.push(self.final_sigma());
        Ok((timesteps, sigmas))
    }

    fn final_sigma(&self) -> f64 {
        match self.final_sigmas {
            FinalSigmas::Zero => 0.0,
            FinalSigmas::SigmaMin => self.schedule.sigma_min(),
        }
    }

    fn is_continuous(&self) -> bool {
        self.timestep_type == TimestepType::Continuous
            && self.prediction == PredictionType::VPrediction
    }

    /// diffusers refuses timesteps beside what would place others.
    fn refuse_rules(&self) -> Result<(), PlanError> {
        let rule = match self.rule.schedule {
            Some(schedule) => format!("the sigma schedule {schedule}"),
            None if self.is_continuous() => "continuous timesteps".to_string(),
            None => return Ok(()),
        };
        Err(PlanError::CustomAndRule { what: "timesteps", rule })
    }

    /// The (fractional) timestep at a sigma.
    pub(super) fn timestep_of(&self, sigma: f64) -> f64 {
        timestep_of_sigma(sigma, &self.log_sigmas)
    }

    fn timesteps_of(&self, sigmas: &[f64]) -> Vec<f64> {
        sigmas.iter().map(|&sigma| self.timestep_of(sigma)).collect()
    }

    /// The timestep at the end of each step.
    pub(super) fn timesteps_after(&self, rungs: &Rungs) -> Vec<f64> {
        let last = rungs.sigmas.get(rungs.timesteps.len()).copied().unwrap_or_default();
        let after = rungs.timesteps.iter().skip(1).copied();
        after.chain([self.timestep_of(last)]).collect()
    }

    /// An evaluation.
    pub(super) fn stage(&self, timestep: f64, sigma: f64) -> Stage {
        Stage::new(timestep, NoiseLevel::variance_exploding(sigma), self.prediction)
    }

    /// The plan of these stages.
    pub(super) fn plan(
        &self,
        request: &PlanRequest,
        rungs: &Rungs,
        stages: Vec<Stage>,
    ) -> Result<Plan, PlanError> {
        let last = rungs.sigmas.get(rungs.timesteps.len()).copied().unwrap_or_default();
        let plan = Plan::from_stages(request, stages, NoiseLevel::variance_exploding(last))?;
        // Of all steps: a run that begins in the middle sees the same Brownian motion, as in diffusers and k-diffusion.
        let positive = || rungs.sigmas.iter().copied().filter(|sigma| *sigma > 0.0);
        let range = [positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max)];
        Ok(plan.with_init_noise_sigma(rungs.init_noise_sigma).with_noise_range(range))
    }
}
