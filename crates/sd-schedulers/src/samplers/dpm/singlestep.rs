//! Singlestep solvers (algorithm 1 of DPM-Solver++): groups of steps of rising order, each from the beginning of its group.

use super::{
    Algorithm, Family, LogSnrLadder, Rungs, SolverType, algorithm, refuse_learned_variance,
    solver_type, weights,
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Noise, Sample, Stored},
    },
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
    samplers::{Configured, Method},
    schedule::FinalSigmas,
};

/// Slot of the latents at the beginning of the group.
const START: usize = 0;
/// Slots of the earlier values, the newest first.
const HISTORY: [usize; 2] = [1, 2];

/// `DPMSolverSinglestepScheduler`: 2S and 3S. Every evaluation counts as a step, as in diffusers.
pub type DpmSinglestep = Configured<DpmSinglestepMethod>;

/// The method of [`DpmSinglestep`].
#[derive(Debug, Clone)]
pub struct DpmSinglestepMethod {
    ladder: LogSnrLadder,
    algorithm: Algorithm,
    solver_type: SolverType,
    order: usize,
    lower_order_final: bool,
}

impl DpmSinglestepMethod {
    /// The orders of all steps: groups of 1, 2, 3 (or 1, 2), and what is left at the end.
    fn orders(&self, steps: usize) -> Vec<usize> {
        let ends_at_zero = self.ladder.final_sigmas == FinalSigmas::Zero;
        let lower_order_final =
            self.lower_order_final || !steps.is_multiple_of(self.order) || ends_at_zero;
        let mut orders: Vec<usize> = (0..steps).map(|index| index % self.order + 1).collect();
        if lower_order_final
            && steps.is_multiple_of(self.order)
            && let Some(last) = orders.last_mut()
        {
            *last = 1;
        }
        if let Some(last) = orders.last_mut().filter(|_| ends_at_zero) {
            *last = 1;
        }
        orders
    }

    /// The next latents after a step of this order, by the `values` there and before it, the newest first.
    fn update(
        &self,
        rungs: &Rungs,
        index: usize,
        order: usize,
        values: [Combination; 3],
    ) -> Combination {
        let base = index + 1 - order;
        let weights = weights(self.algorithm, rungs.levels[base], rungs.levels[index + 1]);
        let h = rungs.lambda(index + 1) - rungs.lambda(base);
        let r = |place: usize| (rungs.lambda(place) - rungs.lambda(base)) / h;
        let start = if order == 1 { Sample } else { Stored(START) };
        let [newest, before, oldest] = values;
        let mut next = weights.sample * start;
        if order == 1 {
            next = next + weights.value * newest;
        } else if order == 2 {
            let slope = (1.0 / r(index)) * (newest - before.clone());
            let weight = match self.solver_type {
                SolverType::Midpoint => weights.midpoint,
                SolverType::Heun => weights.slope,
            };
            next = next + weights.value * before + weight * slope;
        } else {
            let (r0, r1) = (r(index), r(index - 1));
            let early = (1.0 / r1) * (before - oldest.clone());
            let late = (1.0 / r0) * (newest - oldest.clone());
            next = next + weights.value * oldest;
            next = next
                + match self.solver_type {
                    SolverType::Midpoint => weights.slope * late,
                    SolverType::Heun => {
                        let curve = (2.0 / (r0 - r1)) * (late.clone() - early.clone());
                        let slope = (1.0 / (r0 - r1)) * (r0 * early - r1 * late);
                        weights.slope * slope + weights.curve * curve
                    }
                };
        }
        if self.algorithm.is_stochastic() { next + weights.noise * Noise } else { next }
    }
}

impl Method for DpmSinglestepMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_learned_variance(fields)?;
        let known = [Algorithm::Noise, Algorithm::PlusPlus, Algorithm::SdePlusPlus];
        Ok(Self {
            ladder: LogSnrLadder::read(fields, Family::Singlestep)?,
            algorithm: algorithm(fields, &known)?,
            solver_type: solver_type(fields)?,
            order: fields.count("solver_order", 2, 1, 3)?,
            lower_order_final: fields.flag("lower_order_final", false)?,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let orders = self.orders(rungs.timesteps.len());
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let (from, to) = (rungs.levels[index], rungs.levels[index + 1]);
            // A run that begins inside a group knows less.
            let order = if to.noise == 0.0 { 1 } else { orders[index].min(made + 1) };
            let order = rungs.possible_order(index, order);
            let value = match self.algorithm.predicts_noise() {
                true => self.ladder.noise(from),
                false => 1.0 * Denoised,
            };
            let values = [value.clone(), 1.0 * Stored(HISTORY[0]), 1.0 * Stored(HISTORY[1])];
            let mut stage = self.ladder.stage(&rungs, index);
            if order == 1 {
                stage = stage.store(START, 1.0 * Sample);
            }
            stage
                .remember(&HISTORY, made, value)
                .next(self.update(&rungs, index, order, values))
                .noise_between(rungs.levels[index + 1 - order].sigma(), to.sigma())
                .finish_step()
        })
    }
}
