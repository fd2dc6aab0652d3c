//! From a request to a run: timesteps, noise levels and the solver.

use crate::{
    combination::{Combination, Value},
    error::PlanError,
    program::{Evaluation, Program, Solver, Stage},
    schedule::NoiseLevel,
};

/// More steps than anyone takes; the bound keeps a mistyped number from filling the memory.
pub const MAX_STEPS: usize = 1_000_000;

/// What a run is asked to be.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PlanRequest {
    /// Steps of the whole run.
    pub steps: usize,
    /// Share of fresh noise in each step, from 0 (none) to 1; only DDIM uses it, the others ignore it.
    pub eta: f64,
    /// The step to begin at (image to image); 0 is the whole run.
    pub begin: usize,
}

impl PlanRequest {
    /// A whole run of this many steps, with eta 0.
    pub fn new(steps: usize) -> Self {
        Self { steps, eta: 0.0, begin: 0 }
    }

    /// Sets eta.
    pub fn eta(self, eta: f64) -> Self {
        Self { eta, ..self }
    }

    /// Sets the step to begin at.
    pub fn begin(self, begin: usize) -> Self {
        Self { begin, ..self }
    }

    /// Checks what is true for every scheduler; called first by [`Scheduler::plan`](crate::Scheduler::plan).
    ///
    /// # Errors
    /// Without steps, with more than [`MAX_STEPS`], with a beginning after the end, or with an impossible eta.
    pub fn validate(&self) -> Result<(), PlanError> {
        let &Self { steps, eta, begin } = self;
        if steps == 0 {
            return Err(PlanError::NoSteps);
        }
        if steps > MAX_STEPS {
            return Err(PlanError::TooManySteps { steps, limit: MAX_STEPS });
        }
        if begin >= steps {
            return Err(PlanError::BeginOutOfRange { begin, steps });
        }
        if !eta.is_finite() || eta < 0.0 {
            return Err(PlanError::Eta { eta });
        }
        Ok(())
    }
}

/// A planned run. It holds no tensors; any number of runs can start from it.
#[derive(Debug, Clone)]
pub struct Plan {
    steps: usize,
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    level: NoiseLevel,
    solver: Box<dyn Solver>,
}

impl Plan {
    /// A plan whose stages are all known; they cover the steps from `request.begin` to the last.
    ///
    /// # Errors
    /// If a coefficient is not finite, a slot is read before it is written, or the stages finish another number of steps.
    pub fn from_stages(
        request: &PlanRequest,
        stages: Vec<Stage>,
        final_level: NoiseLevel,
    ) -> Result<Self, PlanError> {
        let steps = request.steps.saturating_sub(request.begin);
        check_stages(&stages, steps)?;
        let levels = || stages.iter().map(|stage| stage.evaluation.level);
        Ok(Self {
            steps,
            timesteps: stages.iter().map(|stage| stage.evaluation.timestep).collect(),
            sigmas: levels().chain([final_level]).map(NoiseLevel::sigma).collect(),
            init_noise_sigma: 1.0,
            level: levels().next().unwrap_or(final_level),
            solver: Box::new(Program::new(stages)),
        })
    }

    /// A plan whose evaluations the solver decides on as it goes; `timesteps` and `sigmas` are for display.
    pub fn from_solver(
        steps: usize,
        timesteps: Vec<f64>,
        sigmas: Vec<f64>,
        solver: Box<dyn Solver>,
    ) -> Self {
        let level = solver.evaluation().map_or(NoiseLevel::CLEAN, |evaluation| evaluation.level);
        Self { steps, timesteps, sigmas, init_noise_sigma: 1.0, level, solver }
    }

    /// The same with another standard deviation of the initial noise.
    pub fn with_init_noise_sigma(self, init_noise_sigma: f64) -> Self {
        Self { init_noise_sigma, ..self }
    }

    /// Steps to make, as the user counts them: those requested less those before `begin`.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The timestep of each evaluation. Samplers that evaluate more than once a step have more of them than steps.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// Noise-to-signal ratio at each evaluation, and that of the result.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// Factor of unit-variance noise to start a run from nothing but noise.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// The noise level at the beginning: how to mix clean latents and noise to start from an image.
    pub fn level(&self) -> NoiseLevel {
        self.level
    }

    /// A solver at the beginning of the run.
    pub fn solver(&self) -> Box<dyn Solver> {
        self.solver.clone()
    }
}

fn check_stages(stages: &[Stage], steps: usize) -> Result<(), PlanError> {
    let mut written = Vec::new();
    for (evaluation, stage) in stages.iter().enumerate() {
        let update = &stage.update;
        let combinations = || {
            [&update.denoised, &update.next].into_iter().chain(update.store.iter().map(|(_, c)| c))
        };
        let Evaluation { timestep, input_scale, .. } = stage.evaluation;
        if !timestep.is_finite()
            || !input_scale.is_finite()
            || !combinations().all(Combination::is_finite)
        {
            return Err(PlanError::NotFinite { timestep });
        }
        for term in combinations().flat_map(Combination::terms) {
            if let Value::Stored(slot) = term.value
                && !written.contains(&slot)
            {
                return Err(PlanError::EmptySlot { evaluation, slot });
            }
        }
        written.extend(update.store.iter().map(|&(slot, _)| slot));
    }
    let found = stages.iter().filter(|stage| stage.update.finishes_step).count();
    if found != steps || !stages.last().is_some_and(|stage| stage.update.finishes_step) {
        return Err(PlanError::StepCount { found, expected: steps, evaluations: stages.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::PredictionType;

    fn stage() -> Stage {
        Stage::new(1.0, NoiseLevel::variance_exploding(1.0), PredictionType::Epsilon)
    }

    fn plan(stages: Vec<Stage>) -> Result<Plan, PlanError> {
        Plan::from_stages(&PlanRequest::new(1), stages, NoiseLevel::CLEAN)
    }

    #[test]
    fn requests_are_checked() {
        assert_eq!(PlanRequest::new(0).validate(), Err(PlanError::NoSteps));
        assert!(matches!(
            PlanRequest::new(usize::MAX).validate(),
            Err(PlanError::TooManySteps { .. })
        ));
        assert!(matches!(
            PlanRequest::new(3).begin(3).validate(),
            Err(PlanError::BeginOutOfRange { .. })
        ));
        for eta in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(PlanRequest::new(3).eta(eta).validate(), Err(PlanError::Eta { .. })));
        }
        assert_eq!(PlanRequest::new(3).eta(1.0).begin(2).validate(), Ok(()));
    }

    #[test]
    fn programs_are_checked() {
        assert!(plan(vec![stage().finish_step()]).is_ok());
        assert!(matches!(plan(vec![]), Err(PlanError::StepCount { found: 0, .. })));
        assert!(matches!(
            plan(vec![stage().finish_step(), stage()]),
            Err(PlanError::StepCount { .. })
        ));
        let infinite = stage().next(f64::INFINITY * Value::Output).finish_step();
        assert_eq!(plan(vec![infinite]).unwrap_err(), PlanError::NotFinite { timestep: 1.0 });
        let early =
            stage().store(0, 1.0 * Value::Output).next(1.0 * Value::Stored(0)).finish_step();
        assert_eq!(plan(vec![early]).unwrap_err(), PlanError::EmptySlot { evaluation: 0, slot: 0 });
    }
}
