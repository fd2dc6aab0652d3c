//! The linear multistep method (formula 12), and its start with two evaluations instead of a warm-up.

use super::PndmMethod;
use crate::{
    combination::Value::{Output, Sample, Stored},
    error::PlanError,
    program::Stage,
};

/// Slot of the latents at the beginning of the step.
pub(super) const START: usize = 0;
/// Slots of the last three outputs, the newest first.
const HISTORY: [usize; 3] = [2, 3, 4];

impl PndmMethod {
    /// One evaluation, with as many earlier outputs as there are.
    pub(super) fn multistep(
        &self,
        timestep: i64,
        step: i64,
        made: usize,
    ) -> Result<Stage, PlanError> {
        let [one, two, three] = HISTORY.map(Stored);
        let output = match made {
            0 => 1.0 * Output,
            1 => (1.0 / 2.0) * (3.0 * Output - 1.0 * one),
            2 => (1.0 / 12.0) * (23.0 * Output - 16.0 * one + 5.0 * two),
            _ => (1.0 / 24.0) * (55.0 * Output - 59.0 * one + 37.0 * two - 9.0 * three),
        };
        let next = self.transfer(timestep, timestep - step, 1.0 * Sample, output)?;
        Ok(remember(self.stage(timestep)?, made).next(next))
    }

    /// The first step of PLMS again, from its end: with the mean of the outputs at both ends.
    fn second_evaluation(&self, timestep: i64, step: i64) -> Result<Stage, PlanError> {
        let mean = 0.5 * (1.0 * Output + 1.0 * Stored(HISTORY[0]));
        Ok(self.stage(timestep)?.next(self.transfer(
            timestep + step,
            timestep,
            1.0 * Stored(START),
            mean,
        )?))
    }

    /// All steps from `begin`.
    pub(super) fn multistep_stages(
        &self,
        timesteps: &[i64],
        step: i64,
        begin: usize,
    ) -> Result<Vec<Stage>, PlanError> {
        // diffusers lists the second timestep twice and begins at a position of that list.
        let mut list = timesteps.to_vec();
        if let Some(&second) = timesteps.get(1) {
            list.insert(1, second);
        }
        let mut stages = Vec::new();
        for (position, &timestep) in list[begin..].iter().enumerate() {
            stages.push(match position {
                0 => self.multistep(timestep, step, 0)?.store(START, 1.0 * Sample),
                1 => self.second_evaluation(timestep, step)?.finish_step(),
                _ => self.multistep(timestep, step, position - 1)?.finish_step(),
            });
        }
        if let Some(only) = stages.pop() {
            stages.push(only.finish_step()); // the first is the last, too, if there is one step only
        }
        Ok(stages)
    }
}

/// Puts the output in front of the history, in which `made` outputs are already.
pub(super) fn remember(stage: Stage, made: usize) -> Stage {
    stage.remember(&HISTORY, made, 1.0 * Output)
}
