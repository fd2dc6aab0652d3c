//! Runs a solver's updates on any kind of values: tensors ([`Run`](crate::Run)) or plain numbers
//! ([`HostRun`](crate::HostRun)).

use std::collections::BTreeMap;

use crate::{
    combination::{Combination, Value},
    error::RunError,
    plan::Plan,
    program::{Evaluation, Limit, Solver},
};

/// Arithmetic that updates are made of.
pub(crate) trait Operand: Clone {
    fn scaled(self, factor: f64) -> Self;
    fn plus_scaled(self, other: Self, factor: f64) -> Self;
    fn limited(self, limit: Limit) -> Result<Self, RunError>;
}

/// Whether an evaluation finished a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The step needs further evaluations.
    WithinStep,
    /// The step is finished.
    StepFinished,
}

/// The state of one run.
#[derive(Debug, Clone)]
pub(crate) struct Machine<V> {
    solver: Box<dyn Solver>,
    pub(crate) sample: V,
    pub(crate) denoised: Option<V>,
    stored: BTreeMap<usize, V>,
    pub(crate) steps: usize,
    pub(crate) index: usize,
}

impl<V: Operand> Machine<V> {
    pub(crate) fn new(plan: &Plan, sample: V) -> Self {
        Self {
            solver: plan.solver(),
            sample,
            denoised: None,
            stored: BTreeMap::new(),
            steps: plan.steps(),
            index: 0,
        }
    }

    pub(crate) fn evaluation(&self) -> Option<Evaluation> {
        self.solver.evaluation()
    }

    /// The latents as the model takes them.
    pub(crate) fn input(&self, evaluation: Evaluation) -> V {
        self.sample.clone().scaled(evaluation.input_scale)
    }

    /// Takes the output of the evaluation that is due; `noise` is drawn only where the update names it.
    pub(crate) fn advance(
        &mut self,
        output: V,
        noise: impl FnOnce(&V) -> V,
    ) -> Result<Progress, RunError> {
        let update = self.solver.advance().ok_or(RunError::Finished { steps: self.index })?;
        let mut values = Values {
            sample: &self.sample,
            output: &output,
            denoised: None,
            noise: None,
            stored: &self.stored,
        };
        let denoised = values.combine(&update.denoised)?.limited(update.limit)?;
        values.denoised = Some(&denoised);
        let uses_noise = |combination: &Combination| combination.uses(Value::Noise);
        let drawn = (uses_noise(&update.next)
            || update.store.iter().any(|(_, value)| uses_noise(value)))
        .then(|| noise(&self.sample));
        values.noise = drawn.as_ref();
        let next = values.combine(&update.next)?;
        let kept = update
            .store
            .iter()
            .map(|(slot, value)| Ok((*slot, values.combine(value)?)))
            .collect::<Result<Vec<_>, RunError>>()?;
        self.stored.extend(kept);
        self.sample = next;
        self.denoised = Some(denoised);
        if !update.finishes_step {
            return Ok(Progress::WithinStep);
        }
        self.index += 1;
        Ok(Progress::StepFinished)
    }
}

/// What one update can read.
struct Values<'a, V> {
    sample: &'a V,
    output: &'a V,
    denoised: Option<&'a V>,
    noise: Option<&'a V>,
    stored: &'a BTreeMap<usize, V>,
}

impl<V: Operand> Values<'_, V> {
    fn get(&self, value: Value) -> Result<V, RunError> {
        let found = match value {
            Value::Sample => Ok(self.sample),
            Value::Output => Ok(self.output),
            Value::Denoised => {
                self.denoised.ok_or(RunError::Unavailable { value: "the denoised latents" })
            }
            Value::Noise => self.noise.ok_or(RunError::Unavailable { value: "noise" }),
            Value::Stored(slot) => self.stored.get(&slot).ok_or(RunError::EmptySlot { slot }),
        };
        found.cloned()
    }

    /// Terms with the factor 0 are left out: they would only cost time, and turn an infinite value into NaN.
    fn combine(&self, combination: &Combination) -> Result<V, RunError> {
        let mut terms = combination.terms().iter().filter(|term| term.coefficient != 0.0);
        let Some(first) = terms.next() else { return Ok(self.sample.clone().scaled(0.0)) };
        let first = self.get(first.value)?.scaled(first.coefficient);
        terms.try_fold(first, |sum, term| {
            Ok(sum.plus_scaled(self.get(term.value)?, term.coefficient))
        })
    }
}

/// Dynamic thresholding of one image (<https://arxiv.org/abs/2205.11487>, section 2.3).
pub(crate) fn threshold(values: &mut [f64], ratio: f64, max_value: f64) {
    let mut magnitudes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let position = ratio.clamp(0.0, 1.0) * magnitudes.len().saturating_sub(1) as f64;
    let quantile = crate::schedule::interpolate(&magnitudes, position);
    let threshold = quantile.max(1.0).min(max_value);
    for value in values {
        *value = value.max(-threshold).min(threshold) / threshold;
    }
}
