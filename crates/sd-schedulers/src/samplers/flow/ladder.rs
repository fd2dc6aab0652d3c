//! Where flow matching evaluates: levels from 1 (noise) to 0, shifted.

use crate::{
    combination::Value::{Output, Sample},
    config::Fields,
    error::{ConfigError, PlanError},
    plan::Plan,
    program::Stage,
    request::{CustomSchedule, PlanRequest},
    samplers::{ends, sigma_ladder::Rungs},
    schedule::{
        NoiseLevel, PredictionType, SigmaRule, SigmaSchedule,
        flow::{TimeShiftType, read_terminal, shifted, stretched_to_terminal},
        linspace,
    },
};

/// How levels are placed.
#[derive(Debug, Clone)]
pub(super) struct FlowLadder {
    num_train_timesteps: usize,
    shift: f64,
    dynamic: Option<TimeShiftType>,
    terminal: Option<f64>,
    rule: SigmaRule,
    inverted: bool,
}

impl FlowLadder {
    /// `num_train_timesteps` and `shift` only.
    pub(super) fn read_static(fields: Fields<'_>) -> Result<Self, ConfigError> {
        if let Some(prediction) = fields.optional_name::<PredictionType>("prediction_type")?
            && prediction != PredictionType::FlowPrediction
        {
            return Err(fields.unsupported("prediction_type", prediction));
        }
        Ok(Self {
            num_train_timesteps: fields.count("num_train_timesteps", 1000, 1, 1_000_000)?,
            shift: fields.number_from("shift", 1.0, f64::MIN_POSITIVE)?,
            dynamic: None,
            terminal: None,
            rule: SigmaRule::default(),
            inverted: false,
        })
    }

    /// All keys.
    pub(super) fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let is_dynamic = fields.switch("use_dynamic_shifting")?;
        let time_shift = fields.name("time_shift_type", TimeShiftType::Exponential)?;
        let rule = SigmaRule::read(fields)?;
        if let Some(
            table @ (SigmaSchedule::AlignYourSteps
            | SigmaSchedule::AlignYourStepsXl
            | SigmaSchedule::AlignYourStepsVideo),
        ) = rule.schedule
        {
            return Err(fields.unsupported("sigma_schedule", table));
        }
        Ok(Self {
            dynamic: is_dynamic.then_some(time_shift),
            terminal: read_terminal(fields)?,
            rule,
            inverted: fields.switch("invert_sigmas")?,
            ..Self::read_static(fields)?
        })
    }

    /// Whether the levels rise, for models that call the noise 0.
    pub(super) fn is_inverted(&self) -> bool {
        self.inverted
    }

    fn shifted(&self, sigma: f64, mu: Option<f64>) -> f64 {
        match (self.dynamic, mu) {
            (Some(form), Some(mu)) => form.shifted(sigma, mu),
            _ => shifted(sigma, self.shift),
        }
    }

    /// The steps of a whole run.
    pub(super) fn rungs(&self, request: &PlanRequest) -> Result<Rungs, PlanError> {
        TimeShiftType::check(self.dynamic, request.mu)?;
        let count = self.num_train_timesteps as f64;
        request.refuse_beyond(1.0, count)?;
        let mut sigmas: Vec<f64> = match &request.custom {
            None => {
                // The ends are shifted already (without dynamic shifting), and are shifted again: so diffusers has it.
                let end = |sigma: f64| match self.dynamic {
                    None => shifted(sigma, self.shift),
                    Some(_) => sigma,
                };
                linspace(end(1.0), end(1.0 / count), request.steps)
            }
            Some(CustomSchedule::Timesteps(timesteps)) => {
                timesteps.iter().map(|timestep| timestep / count).collect()
            }
            Some(CustomSchedule::Sigmas(sigmas)) => sigmas[..request.steps].to_vec(),
        };
        sigmas.iter_mut().for_each(|sigma| *sigma = self.shifted(*sigma, request.mu));
        if let Some(terminal) = self.terminal {
            stretched_to_terminal(&mut sigmas, terminal);
        }
        if self.rule.schedule.is_some() {
            let steps = 1..=self.num_train_timesteps;
            let training: Vec<f64> =
                steps.map(|step| self.shifted(step as f64 / count, request.mu)).collect();
            if let Some(curve) = self.rule.sigmas(request.steps, ends(&sigmas), &training)? {
                sigmas = curve;
            }
        }
        // The level of the result; with custom sigmas the caller's, shifted as the others are.
        sigmas.push(match &request.custom {
            Some(CustomSchedule::Sigmas(custom)) => {
                let last = custom[request.steps];
                if last == 0.0 { 0.0 } else { self.shifted(last, request.mu) }
            }
            _ => 0.0,
        });
        if self.inverted {
            sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
        }
        let timesteps = match &request.custom {
            // The model is told them as they were given, not as they were shifted: so diffusers has it.
            Some(CustomSchedule::Timesteps(timesteps)) if !self.inverted => timesteps.to_vec(),
            _ => sigmas.iter().take(request.steps).map(|sigma| sigma * count).collect(),
        };
        Ok(Rungs { timesteps, sigmas, init_noise_sigma: 1.0 })
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel::flow(if self.inverted { 1.0 - sigma } else { sigma })
    }

    /// An evaluation.
    pub(super) fn stage(&self, timestep: f64, sigma: f64) -> Stage {
        let stage = Stage::new(timestep, self.level(sigma), PredictionType::FlowPrediction);
        // Inverted models predict the way to the image, not away from it.
        if self.inverted { stage.denoised(1.0 * Sample + (1.0 - sigma) * Output) } else { stage }
    }

    /// The plan of these stages.
    pub(super) fn plan(
        &self,
        request: &PlanRequest,
        rungs: &Rungs,
        stages: Vec<Stage>,
    ) -> Result<Plan, PlanError> {
        let last = rungs.sigmas.last().copied().unwrap_or_default();
        Plan::from_stages(request, stages, self.level(last))
    }
}
