//! The timesteps and noise levels of samplers in terms of log-SNRs: latents whose variance stays 1, or flow matching's.

use super::{family::Family, flow_sigmas::FlowSigmas};
use crate::{
    combination::{Combination, Value},
    config::{Fields, TrainingConfig},
    error::{ConfigError, PlanError},
    plan::Plan,
    program::{Limit, Stage},
    request::{CustomSchedule, PlanRequest},
    samplers::{DIFFUSION, refuse_zero_snr, sigmas_at, thresholding},
    schedule::{
        BetaSchedule, FinalSigmas, NoiseLevel, NoiseSchedule, PredictionType, SigmaRule,
        SigmaSchedule, Spacing, TimestepSpacing, flow::TimeShiftType, linspace, log_sigmas_of,
        timestep_of_sigma, trailing,
    },
};

/// How levels are placed, and what the model predicts.
#[derive(Debug, Clone)]
pub(in crate::samplers) struct LogSnrLadder {
    pub(in crate::samplers) prediction: PredictionType,
    pub(in crate::samplers) limit: Limit,
    pub(in crate::samplers) final_sigmas: FinalSigmas,
    family: Family,
    schedule: NoiseSchedule,
    beta_schedule: BetaSchedule,
    spacing: Spacing,
    rule: SigmaRule,
    /// Whether the exponential rule is Lu's, whose timesteps are rounded.
    is_lu: bool,
    flow: Option<FlowSigmas>,
    lambda_min_clipped: f64,
}

/// The steps of a run.
#[derive(Debug, Clone)]
pub(in crate::samplers) struct Rungs {
    /// One for each step.
    pub(in crate::samplers) timesteps: Vec<f64>,
    /// One for each step, and that of the result.
    pub(in crate::samplers) levels: Vec<NoiseLevel>,
}

impl Rungs {
    /// Log-SNR (of amplitudes) at a place.
    pub(in crate::samplers) fn lambda(&self, place: usize) -> f64 {
        -self.levels[place].sigma().ln()
    }

    /// How many of the places `place`, `place - 1` and so on have log-SNRs of their own, up to `most`: through values at two
    /// equal ones goes no polynomial. Rounding can make two timesteps one.
    pub(in crate::samplers) fn distinct(&self, place: usize, most: usize) -> usize {
        let is_own = |back: &usize| self.lambda(place + 1 - back) != self.lambda(place - back);
        1 + (1..most.min(place + 1)).take_while(is_own).count()
    }

    /// The order of a step from `place` that may have the order `most`: less if it or one of the steps that it goes back over
    /// has no length. Such a step changes nothing at the first order.
    pub(in crate::samplers) fn possible_order(&self, place: usize, most: usize) -> usize {
        self.distinct(place + 1, most + 1).saturating_sub(1).max(1)
    }
}

impl LogSnrLadder {
    pub(in crate::samplers) fn read(
        fields: Fields<'_>,
        family: Family,
    ) -> Result<Self, ConfigError> {
        if !family.has_zero_snr() {
            refuse_zero_snr(fields)?;
        }
        let training = TrainingConfig::read(fields)?;
        let flow = FlowSigmas::read(fields, family)?;
        let predictions = flow.as_ref().map_or(DIFFUSION, |_| FlowSigmas::PREDICTIONS);
        let (rule, is_lu) = read_rule(fields, family)?;
        if let (Some(schedule), true) = (rule.schedule, flow.is_some() && family != Family::UniPc) {
            return Err(fields.unsupported("use_flow_sigmas", format!("true with {schedule}")));
        }
        Ok(Self {
            prediction: training.predicts_one_of(fields, predictions)?,
            limit: thresholding(fields)?.unwrap_or_default(),
            final_sigmas: family.final_sigmas(fields)?,
            lambda_min_clipped: family.lambda_min_clipped(fields)?,
            spacing: family.spacing(fields)?,
            schedule: training.schedule()?.with_finite_sigmas(),
            beta_schedule: training.beta_schedule,
            family,
            rule,
            is_lu,
            flow,
        })
    }

    /// The steps of a whole run.
    pub(in crate::samplers) fn rungs(&self, request: &PlanRequest) -> Result<Rungs, PlanError> {
        let training = self.schedule.sigmas();
        let dynamic = self.flow.and_then(FlowSigmas::dynamic);
        TimeShiftType::check(dynamic, request.mu)?;
        if self.flow.is_some() {
            request.refuse_beyond(1.0, training.len() as f64)?;
        }
        let (timesteps, mut sigmas) = match (&request.custom, self.flow) {
            (Some(CustomSchedule::Sigmas(sigmas)), flow) => {
                let (steps, last) = sigmas.split_at(request.steps);
                // The level of the result is the caller's.
                let steps = match flow {
                    Some(flow) => flow.finished(steps, request.mu),
                    None => steps.to_vec(),
                };
                let timesteps = self.timesteps_of(&steps);
                let levels = steps.iter().chain(last).map(|&sigma| self.level(sigma)).collect();
                return Ok(Rungs { timesteps, levels });
            }
            (Some(custom), Some(_)) => {
                let rule = "flow sigmas".to_string();
                return Err(PlanError::CustomAndRule { what: custom.what(), rule });
            }
            (Some(CustomSchedule::Timesteps(timesteps)), None) => {
                if let Some(schedule) = self.rule.schedule {
                    let rule = format!("the sigma schedule {schedule}");
                    return Err(PlanError::CustomAndRule { what: "timesteps", rule });
                }
                let whole: Vec<f64> = timesteps.iter().map(|value| value.trunc()).collect();
                (whole.clone(), sigmas_at(&training, &whole))
            }
            (None, flow) => self.placed(request, &training, flow)?,
        };
        sigmas.push(self.final_sigma(&sigmas));
        let levels = sigmas.into_iter().map(|sigma| self.level(sigma)).collect();
        Ok(Rungs { timesteps, levels })
    }

    fn placed(
        &self,
        request: &PlanRequest,
        training: &[f64],
        flow: Option<FlowSigmas>,
    ) -> Result<(Vec<f64>, Vec<f64>), PlanError> {
        let count = request.steps;
        let most = training.last().copied().unwrap_or_default();
        let ends = (self.schedule.sigma_min(), most);
        if let Some(mut sigmas) = self.rule.sigmas(count, ends, training)? {
            if flow.is_some() {
                sigmas.iter_mut().for_each(|sigma| *sigma /= *sigma + 1.0);
            }
            return Ok((self.timesteps_of(&sigmas), sigmas));
        }
        if let Some(flow) = flow {
            let sigmas = flow.sigmas(training.len(), count, request.mu);
            return Ok((self.timesteps_of(&sigmas), sigmas));
        }
        self.spacing.check_steps(training.len(), count)?;
        if self.spacing.kind == TimestepSpacing::Leading && count == training.len() {
            // The one more timestep leaves no room between them: all would be the same.
            return Err(PlanError::TooManySteps { steps: count, limit: count.saturating_sub(1) });
        }
        let timesteps = self.spaced(training, count);
        let sigmas = sigmas_at(training, &timesteps);
        Ok((timesteps, sigmas))
    }

    /// One more timestep than steps is spaced and the last left out, unlike in the samplers of k-diffusion.
    fn spaced(&self, training: &[f64], steps: usize) -> Vec<f64> {
        let clipped = training.iter().filter(|sigma| -sigma.ln() < self.lambda_min_clipped).count();
        let last = (training.len() - clipped).max(1);
        match self.spacing.kind {
            TimestepSpacing::Linspace => {
                let spaced = linspace(0.0, last as f64 - 1.0, steps + 1);
                spaced.into_iter().skip(1).rev().map(f64::round_ties_even).collect()
            }
            TimestepSpacing::Leading => {
                let (ratio, offset) = (last / (steps + 1), self.spacing.steps_offset);
                (1..=steps).rev().map(|index| (index * ratio + offset) as f64).collect()
            }
            TimestepSpacing::Trailing => {
                trailing(last as f64, training.len() as f64 / steps as f64, steps)
            }
        }
    }

    /// The whole timesteps at sigmas: rounded by Karras' rule and those of this crate, else cut off, as in diffusers.
    fn timesteps_of(&self, sigmas: &[f64]) -> Vec<f64> {
        if self.flow.is_some() {
            let count = self.schedule.num_train_timesteps() as f64;
            return sigmas.iter().map(|sigma| (sigma * count).trunc()).collect();
        }
        let cut = match self.rule.schedule {
            Some(SigmaSchedule::Exponential | SigmaSchedule::Beta) if !self.is_lu => true,
            _ => {
                self.family == Family::Multistep
                    && self.beta_schedule == BetaSchedule::SquaredCosCapV2
            }
        };
        let log_sigmas = log_sigmas_of(&self.schedule.sigmas());
        let timesteps = sigmas.iter().map(|&sigma| timestep_of_sigma(sigma, &log_sigmas));
        timesteps.map(|value| if cut { value.trunc() } else { value.round_ties_even() }).collect()
    }

    /// The sigma of the result: the least of training, or (in some classes, by some rules) the last one again.
    fn final_sigma(&self, sigmas: &[f64]) -> f64 {
        let repeats =
            self.family.repeats_the_last() && (self.rule.schedule.is_some() || self.flow.is_some());
        match (self.final_sigmas, sigmas.last()) {
            (FinalSigmas::Zero, _) => 0.0,
            (FinalSigmas::SigmaMin, Some(&last)) if repeats => last,
            (FinalSigmas::SigmaMin, _) => self.schedule.sigma_min(),
        }
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        match self.flow {
            Some(_) => NoiseLevel::flow(sigma),
            None => NoiseLevel::variance_preserving_sigma(sigma),
        }
    }

    /// An evaluation at a place of the ladder; models of this kind take the latents as they are.
    pub(in crate::samplers) fn stage(&self, rungs: &Rungs, place: usize) -> Stage {
        let stage = Stage::new(rungs.timesteps[place], rungs.levels[place], self.prediction);
        stage.input_scale(1.0).limit(self.limit)
    }

    /// The predicted noise, which follows from the clean latents if they are bounded.
    pub(in crate::samplers) fn noise(&self, level: NoiseLevel) -> Combination {
        match self.limit {
            Limit::None => level.epsilon(self.prediction),
            _ => (1.0 / level.noise) * (1.0 * Value::Sample - level.signal * Value::Denoised),
        }
    }

    /// A plan of one evaluation a step. Trailing timesteps under a clipped lambda can be fewer than the steps asked for.
    pub(in crate::samplers) fn plan(
        &self,
        request: &PlanRequest,
        rungs: &Rungs,
        stage: impl FnMut(usize) -> Stage,
    ) -> Result<Plan, PlanError> {
        let steps = rungs.timesteps.len();
        let request = PlanRequest { steps, custom: None, ..request.clone() };
        request.validate()?;
        let stages = (request.begin..steps).map(stage).collect();
        Plan::from_stages(&request, stages, rungs.levels[steps])
    }
}

/// The rule of the sigmas, and whether it is that of `use_lu_lambdas` (<https://arxiv.org/abs/2206.00927>, section 3.3):
/// evenly spaced log-SNRs.
fn read_rule(fields: Fields<'_>, family: Family) -> Result<(SigmaRule, bool), ConfigError> {
    let mut rule = SigmaRule::read(fields)?;
    if family != Family::Multistep {
        fields.refuse_switch("use_lu_lambdas")?;
    }
    // Karras' rule goes before it in diffusers, and any that is named does here.
    let is_lu = fields.switch("use_lu_lambdas")? && rule.schedule.is_none();
    if is_lu {
        rule.schedule = Some(SigmaSchedule::Exponential);
    }
    Ok((rule, is_lu))
}
