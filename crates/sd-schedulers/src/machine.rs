//! Runs a solver's updates on any kind of values: tensors ([`Run`](crate::Run)) or plain numbers
//! ([`HostRun`](crate::HostRun)).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    combination::{Combination, Value},
    error::RunError,
    interval::IntervalNoise,
    plan::Plan,
    program::{Evaluation, Limit, Solver},
    rng::NoiseGenerator,
    schedule::NoiseLevel,
    state::RunState,
};

/// Arithmetic that updates are made of.
pub(crate) trait Operand: Clone {
    fn scaled(self, factor: f64) -> Self;
    fn plus_scaled(self, other: Self, factor: f64) -> Self;
    fn limited(self, limit: Limit) -> Result<Self, RunError>;
    /// How many numbers it holds.
    fn count(&self) -> usize;
    /// The same kind of value, from as many numbers.
    fn filled(&self, numbers: Vec<f32>) -> Self;
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
    pub(crate) interval_noise: Option<Arc<dyn IntervalNoise>>,
    pub(crate) sample: V,
    pub(crate) denoised: Option<V>,
    stored: BTreeMap<usize, V>,
    pub(crate) steps: usize,
    pub(crate) index: usize,
    evaluations: usize,
    final_level: NoiseLevel,
}

impl<V: Operand> Machine<V> {
    pub(crate) fn new(plan: &Plan, sample: V) -> Self {
        Self {
            solver: plan.solver(),
            interval_noise: None,
            sample,
            denoised: None,
            stored: BTreeMap::new(),
            steps: plan.steps(),
            index: 0,
            evaluations: 0,
            final_level: plan.final_level(),
        }
    }

    /// What was saved, over the same plan.
    pub(crate) fn resume<T>(
        plan: &Plan,
        state: RunState<T>,
        value: impl Fn(Vec<T>) -> V,
    ) -> Result<Self, RunError> {
        let expected = state.latents.len();
        if let Some(found) = state.lists().map(Vec::len).find(|&found| found != expected) {
            return Err(RunError::Shape { expected: vec![expected], found: vec![found] });
        }
        let mut machine = Self::new(plan, value(state.latents));
        for _ in 0..state.evaluations {
            let finished = RunError::Finished { steps: machine.index };
            let update = machine.solver.advance().ok_or(finished)?;
            machine.index += usize::from(update.finishes_step);
        }
        machine.evaluations = state.evaluations;
        machine.denoised = state.denoised.map(&value);
        machine.stored =
            state.stored.into_iter().map(|(slot, numbers)| (slot, value(numbers))).collect();
        Ok(machine)
    }

    /// What [`resume`](Self::resume) goes on from.
    pub(crate) fn save<T, E>(
        &self,
        numbers: impl Fn(&V) -> Result<Vec<T>, E>,
    ) -> Result<RunState<T>, E> {
        let stored = self.stored.iter().map(|(slot, value)| Ok((*slot, numbers(value)?)));
        Ok(RunState {
            evaluations: self.evaluations,
            latents: numbers(&self.sample)?,
            denoised: self.denoised.as_ref().map(&numbers).transpose()?,
            stored: stored.collect::<Result<_, E>>()?,
        })
    }

    pub(crate) fn evaluation(&self) -> Option<Evaluation> {
        self.solver.evaluation()
    }

    /// The noise level of the latents; after the last evaluation that of the result.
    pub(crate) fn level(&self) -> NoiseLevel {
        self.evaluation().map_or(self.final_level, |evaluation| evaluation.level)
    }

    /// The latents as the model takes them.
    pub(crate) fn input(&self, evaluation: Evaluation) -> V {
        self.sample.clone().scaled(evaluation.input_scale)
    }

    /// Takes the output of the evaluation that is due, and that without guidance where there is one; noise is drawn only
    /// where the update names it. After an error everything but the generator is as it was before.
    pub(crate) fn advance(
        &mut self,
        output: V,
        unguided: Option<V>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Progress, RunError> {
        // A copy goes ahead, and takes the solver's place when nothing can fail any more.
        let mut solver = self.solver.clone();
        let update = solver.advance().ok_or(RunError::Finished { steps: self.index })?;
        let mut values = Values {
            sample: &self.sample,
            output: &output,
            unguided: unguided.as_ref().unwrap_or(&output),
            denoised: None,
            noise: None,
            stored: &self.stored,
        };
        let denoised = values.combine(&update.denoised)?.limited(update.limit)?;
        values.denoised = Some(&denoised);
        let uses_noise = |combination: &Combination| combination.uses(Value::Noise);
        let named =
            uses_noise(&update.next) || update.store.iter().any(|(_, value)| uses_noise(value));
        let drawn = if named { Some(self.draw(update.interval, noise)?) } else { None };
        values.noise = drawn.as_ref();
        let next = values.combine(&update.next)?;
        let kept = update
            .store
            .iter()
            .map(|(slot, value)| Ok((*slot, values.combine(value)?)))
            .collect::<Result<Vec<_>, RunError>>()?;
        self.solver = solver;
        self.stored.extend(kept);
        self.sample = next;
        self.denoised = Some(denoised);
        self.evaluations += 1;
        if !update.finishes_step {
            return Ok(Progress::WithinStep);
        }
        self.index += 1;
        Ok(Progress::StepFinished)
    }

    fn draw(
        &self,
        interval: Option<(f64, f64)>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<V, RunError> {
        let count = self.sample.count();
        let numbers = match (&self.interval_noise, interval) {
            (Some(source), Some((sigma, sigma_next))) => source.noise(sigma, sigma_next),
            _ => noise.normal(count),
        };
        if numbers.len() != count {
            return Err(RunError::Noise { expected: count, found: numbers.len() });
        }
        Ok(self.sample.filled(numbers))
    }
}

/// What one update can read.
struct Values<'a, V> {
    sample: &'a V,
    output: &'a V,
    unguided: &'a V,
    denoised: Option<&'a V>,
    noise: Option<&'a V>,
    stored: &'a BTreeMap<usize, V>,
}

impl<V: Operand> Values<'_, V> {
    fn get(&self, value: Value) -> Result<V, RunError> {
        let found = match value {
            Value::Sample => Ok(self.sample),
            Value::Output => Ok(self.output),
            Value::Unguided => Ok(self.unguided),
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
