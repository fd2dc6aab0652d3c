//! From a request to a run: timesteps, noise levels and the solver.

use crate::{
    combination::{Combination, Value},
    error::PlanError,
    program::{Evaluation, Program, Solver, Stage},
    request::PlanRequest,
    schedule::NoiseLevel,
};

/// A planned run. It holds no tensors; any number of runs can start from it.
#[derive(Debug, Clone)]
pub struct Plan {
    steps: usize,
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    level: NoiseLevel,
    final_level: NoiseLevel,
    guided: bool,
    noise_range: Option<[f64; 2]>,
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
            final_level,
            noise_range: noise_range(&stages),
            guided: stages.iter().any(|stage| stage.update.uses(Value::Unguided)),
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
        Self {
            steps,
            timesteps,
            sigmas,
            init_noise_sigma: 1.0,
            level,
            final_level: NoiseLevel::CLEAN,
            guided: false,
            noise_range: None,
            solver,
        }
    }

    /// The same with another level of the result: that of [`from_solver`](Self::from_solver) is clean.
    pub fn with_final_level(self, final_level: NoiseLevel) -> Self {
        Self { final_level, ..self }
    }

    /// The same with another standard deviation of the initial noise.
    pub fn with_init_noise_sigma(self, init_noise_sigma: f64) -> Self {
        Self { init_noise_sigma, ..self }
    }

    /// The same with another range of the sigmas that noise is asked for, if any is asked for at all.
    pub(crate) fn with_noise_range(self, range: [f64; 2]) -> Self {
        Self { noise_range: self.noise_range.map(|_| range), ..self }
    }

    /// Steps to make, as the user counts them: those requested less those before `begin`.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The timestep of each evaluation. Samplers that evaluate more than once a step have more of them than steps.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// The timestep at which each step begins. The solver is walked through on a copy.
    pub fn step_timesteps(&self) -> Vec<f64> {
        let mut solver = self.solver();
        let mut timesteps = Vec::with_capacity(self.steps);
        let mut within_step = false;
        while let Some(evaluation) = solver.evaluation() {
            if !within_step {
                timesteps.push(evaluation.timestep);
            }
            let Some(update) = solver.advance() else { break };
            within_step = !update.finishes_step;
        }
        timesteps
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

    /// The noise level of the result: clean, but for samplers that lead to noise or stop at the least sigma of training.
    pub fn final_level(&self) -> NoiseLevel {
        self.final_level
    }

    /// Whether the sampler makes use of the model output without guidance beside that with it (CFG++):
    /// [`Run::advance_guided`](crate::Run::advance_guided). Always false for [`from_solver`](Self::from_solver).
    pub fn wants_unguided(&self) -> bool {
        self.guided
    }

    /// The least and the greatest sigma of the intervals that noise is asked for, if the sampler names any: what a Brownian
    /// motion for [`Run::with_interval_noise`](crate::Run::with_interval_noise) has to reach over. For samplers in
    /// k-diffusion's terms (DPM++ SDE and 3M SDE) these are the ends of the whole schedule, wherever the run begins.
    pub fn noise_range(&self) -> Option<[f64; 2]> {
        self.noise_range
    }

    /// A solver at the beginning of the run.
    pub fn solver(&self) -> Box<dyn Solver> {
        self.solver.clone()
    }
}

fn noise_range(stages: &[Stage]) -> Option<[f64; 2]> {
    let intervals = stages.iter().filter_map(|stage| stage.update.interval);
    intervals.fold(None, |range, (from, to)| {
        let [least, most] = range.unwrap_or([to, from]);
        Some([to.min(least), from.max(most)])
    })
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
    fn steps_begin_at_their_first_evaluation() {
        let at = |timestep| Stage::new(timestep, NoiseLevel::CLEAN, PredictionType::Epsilon);
        let stages = vec![at(9.0), at(8.0).finish_step(), at(8.0).finish_step()];
        let plan = Plan::from_stages(&PlanRequest::new(2), stages, NoiseLevel::CLEAN).unwrap();
        assert_eq!(plan.step_timesteps(), [9.0, 8.0]);
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
