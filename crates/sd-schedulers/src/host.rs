//! Runs on plain numbers, without any tensor library.

use std::sync::Arc;

use crate::{
    error::RunError,
    interval::IntervalNoise,
    machine::{Machine, Operand, Progress, threshold},
    plan::Plan,
    program::{Evaluation, Limit},
    rng::NoiseGenerator,
    schedule::NoiseLevel,
    state::RunState,
};

/// A run over `f64` values: for tests, for proofs of convergence, for models that are formulas.
///
/// Dynamic thresholding takes all values for one image.
///
/// ```
/// use sd_schedulers::{HostRun, PlanRequest, SchedulerKind, TorchCpuGenerator};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = SchedulerKind::Euler.default_scheduler()?.plan(&PlanRequest::new(10))?;
/// let mut run = HostRun::new(&plan, vec![plan.init_noise_sigma(); 4]);
/// let mut noise = TorchCpuGenerator::new(0);
/// while let Some((input, evaluation)) = run.evaluation() {
///     let output = input.iter().map(|x| x * evaluation.timestep / 1000.0).collect();
///     run.advance(output, &mut noise)?;
/// }
/// assert_eq!(run.index(), 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HostRun {
    machine: Machine<Vec<f64>>,
}

impl HostRun {
    /// Starts a run at these latents.
    pub fn new(plan: &Plan, latents: Vec<f64>) -> Self {
        Self { machine: Machine::new(plan, latents) }
    }

    /// The model input that is due and where it is taken, `None` after the last.
    pub fn evaluation(&self) -> Option<(Vec<f64>, Evaluation)> {
        let evaluation = self.machine.evaluation()?;
        Some((self.machine.input(evaluation), evaluation))
    }

    /// Takes the model output for that input.
    ///
    /// # Errors
    /// After the last evaluation, if the output has another length than the latents, if the source of interval noise gives
    /// another number of values, or if a solver of one's own reads what it has not stored. The run is then as it was before,
    /// and can be advanced again.
    pub fn advance(
        &mut self,
        output: Vec<f64>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Progress, RunError> {
        self.check_length(&output)?;
        self.machine.advance(output, None, noise)
    }

    /// The same with the model output without guidance beside it, which CFG++ samplers use.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_guided(
        &mut self,
        output: Vec<f64>,
        unguided: Vec<f64>,
        noise: &mut dyn NoiseGenerator,
    ) -> Result<Progress, RunError> {
        self.check_length(&output)?;
        self.check_length(&unguided)?;
        self.machine.advance(output, Some(unguided), noise)
    }

    /// The same run with noise from this source wherever the sampler names an interval of sigmas.
    pub fn with_interval_noise(mut self, source: Arc<dyn IntervalNoise>) -> Self {
        self.machine.interval_noise = Some(source);
        self
    }

    /// What [`resume`](Self::resume) goes on from.
    pub fn save(&self) -> RunState<f64> {
        let Ok(state) =
            self.machine.save(|values| Ok::<_, std::convert::Infallible>(values.clone()));
        state
    }

    /// Goes on with a run that was saved, over the same plan.
    ///
    /// # Errors
    /// If the state is of a longer plan, or its lists differ in length.
    pub fn resume(plan: &Plan, state: RunState<f64>) -> Result<Self, RunError> {
        Ok(Self { machine: Machine::resume(plan, state, |numbers| numbers)? })
    }

    /// The latents.
    pub fn latents(&self) -> &[f64] {
        &self.machine.sample
    }

    /// Replaces the latents.
    ///
    /// # Errors
    /// If the length differs.
    pub fn set_latents(&mut self, latents: Vec<f64>) -> Result<(), RunError> {
        self.check_length(&latents)?;
        self.machine.sample = latents;
        Ok(())
    }

    /// The clean latents that the last evaluation predicted.
    pub fn denoised(&self) -> Option<&[f64]> {
        self.machine.denoised.as_deref()
    }

    /// Steps of this run.
    pub fn steps(&self) -> usize {
        self.machine.steps
    }

    /// Steps finished.
    pub fn index(&self) -> usize {
        self.machine.index
    }

    /// The noise level of the latents; that of the result ([`Plan::final_level`]) when the run is finished.
    pub fn level(&self) -> NoiseLevel {
        self.machine.level()
    }

    fn check_length(&self, values: &[f64]) -> Result<(), RunError> {
        let (expected, found) = (vec![self.machine.sample.len()], vec![values.len()]);
        if expected == found { Ok(()) } else { Err(RunError::Shape { expected, found }) }
    }
}

impl Operand for Vec<f64> {
    fn scaled(mut self, factor: f64) -> Self {
        self.iter_mut().for_each(|value| *value *= factor);
        self
    }

    fn plus_scaled(mut self, other: Self, factor: f64) -> Self {
        self.iter_mut().zip(other).for_each(|(value, other)| *value += factor * other);
        self
    }

    fn limited(mut self, limit: Limit) -> Result<Self, RunError> {
        match limit {
            Limit::None => {}
            Limit::Clip { range } => {
                self.iter_mut().for_each(|value| *value = value.max(-range).min(range))
            }
            Limit::Dynamic { ratio, max_value } => threshold(&mut self, ratio, max_value),
        }
        Ok(self)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn filled(&self, numbers: Vec<f32>) -> Self {
        numbers.into_iter().map(f64::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoiseLevel, PlanRequest, PredictionType, Stage, TorchCpuGenerator, Value};

    #[test]
    fn an_update_reads_the_values_from_before_it() {
        let stage = || Stage::new(0.0, NoiseLevel::variance_exploding(1.0), PredictionType::Sample);
        let stages = vec![
            stage().store(0, 1.0 * Value::Sample).next(1.0 * Value::Output),
            // slot 0 is overwritten with the sample while its old value is added
            stage()
                .store(0, 1.0 * Value::Sample)
                .next(1.0 * Value::Stored(0) + 10.0 * Value::Denoised)
                .finish_step(),
        ];
        let plan = Plan::from_stages(&PlanRequest::new(1), stages, NoiseLevel::CLEAN).unwrap();
        let mut run = HostRun::new(&plan, vec![1.0]);
        let mut noise = TorchCpuGenerator::new(0);
        assert_eq!(run.advance(vec![2.0], &mut noise), Ok(Progress::WithinStep));
        assert_eq!(run.latents(), [2.0]);
        assert_eq!(run.index(), 0);
        assert_eq!(run.advance(vec![3.0], &mut noise), Ok(Progress::StepFinished));
        assert_eq!(
            (run.latents(), run.denoised(), run.index()),
            (&[31.0][..], Some(&[3.0][..]), 1)
        );
        assert_eq!(run.advance(vec![3.0], &mut noise), Err(RunError::Finished { steps: 1 }));
        assert!(run.evaluation().is_none());
    }

    #[test]
    fn an_output_of_another_length_changes_nothing() {
        let stages = vec![Stage::new(0.0, NoiseLevel::CLEAN, PredictionType::Sample).finish_step()];
        let plan = Plan::from_stages(&PlanRequest::new(1), stages, NoiseLevel::CLEAN).unwrap();
        let mut run = HostRun::new(&plan, vec![1.0, 2.0]);
        let error = run.advance(vec![1.0], &mut TorchCpuGenerator::new(0)).unwrap_err();
        assert_eq!(error, RunError::Shape { expected: vec![2], found: vec![1] });
        assert_eq!(run.evaluation().unwrap().0, [1.0, 2.0]);
    }

    // Values of torch.quantile(|x|, 0.75) = 2.5 by hand.
    #[test]
    fn dynamic_thresholding() {
        let values = vec![-4.0, 1.0, 2.0, -0.5];
        let limit = |max_value| Limit::Dynamic { ratio: 0.75, max_value };
        assert_eq!(values.clone().limited(limit(10.0)).unwrap(), [-1.0, 0.4, 0.8, -0.2]);
        assert_eq!(values.clone().limited(limit(1.0)).unwrap(), [-1.0, 1.0, 1.0, -0.5]);
        assert_eq!(values.limited(Limit::Clip { range: 1.5 }).unwrap(), [-1.5, 1.0, 1.5, -0.5]);
    }
}
