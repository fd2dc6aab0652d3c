//! The Runge-Kutta warm-up (algorithm 2): three steps of four evaluations each.

use super::{
    PndmMethod,
    plms::{START, remember},
};
use crate::{
    combination::Value::{Output, Sample, Stored},
    error::PlanError,
    program::Stage,
};

/// Slot of the sum of a Runge-Kutta step.
const SUM: usize = 1;

impl PndmMethod {
    /// All steps: the warm-up, then the multistep method.
    pub(super) fn runge_kutta_stages(
        &self,
        timesteps: &[i64],
        step: i64,
    ) -> Result<Vec<Stage>, PlanError> {
        let mut stages = Vec::new();
        for (made, &timestep) in timesteps.iter().enumerate() {
            match timesteps.get(made + 1) {
                Some(&next) if made < 3 => {
                    stages.extend(self.runge_kutta_step(timestep, next, step / 2, made)?);
                }
                _ => stages.push(self.multistep(timestep, step, made)?.finish_step()),
            }
        }
        Ok(stages)
    }

    /// Four evaluations: at the beginning, twice in the middle, at the end. `made` steps came before.
    fn runge_kutta_step(
        &self,
        from: i64,
        to: i64,
        half: i64,
        made: usize,
    ) -> Result<Vec<Stage>, PlanError> {
        let middle = to + half;
        let advance = |timestep, sample, output| self.transfer(from, timestep, sample, output);
        let first = self.stage(from)?.store(START, 1.0 * Sample).store(SUM, (1.0 / 6.0) * Output);
        let first = remember(first, made).next(advance(from - half, 1.0 * Sample, 1.0 * Output)?);
        let next = |timestep, to| -> Result<Stage, PlanError> {
            let stage = self.stage(timestep)?.store(SUM, 1.0 * Stored(SUM) + (1.0 / 3.0) * Output);
            Ok(stage.next(advance(to, 1.0 * Stored(START), 1.0 * Output)?))
        };
        let average = 1.0 * Stored(SUM) + (1.0 / 6.0) * Output;
        let last = self.stage(to)?.next(advance(to, 1.0 * Stored(START), average)?).finish_step();
        Ok(vec![first, next(middle, middle)?, next(middle, to)?, last])
    }
}
