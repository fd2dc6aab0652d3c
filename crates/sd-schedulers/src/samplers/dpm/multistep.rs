//! Multistep solvers (algorithm 2 of DPM-Solver++, and its third-order sibling).

use super::{
    Algorithm, Family, LogSnrLadder, Rungs, SolverType, algorithm, divided,
    refuse_learned_variance, solver_type, weights,
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Noise, Sample, Stored},
    },
    config::Fields,
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
    samplers::{Configured, Method},
    schedule::FinalSigmas,
};

/// Below this number of steps, the last ones are of lower order, for stability.
const FEW_STEPS: usize = 15;
/// Slots of the earlier values, the newest first.
const HISTORY: [usize; 2] = [0, 1];

/// `DPMSolverMultistepScheduler`: "DPM++ 2M" at its defaults.
///
/// The update of `solver_order` 3, as published and in diffusers, takes half of the second difference and is of order 2. With
/// this crate's own key `exact_third_order` the deterministic ones take all of it, and are of order 3.
pub type DpmMultistep = Configured<DpmMultistepMethod>;

/// The method of [`DpmMultistep`].
#[derive(Debug, Clone)]
pub struct DpmMultistepMethod {
    ladder: LogSnrLadder,
    algorithm: Algorithm,
    solver_type: SolverType,
    orders: OrderRule,
    is_exact: bool,
}

/// Which order a step has.
#[derive(Debug, Clone, Copy)]
pub(in crate::samplers) struct OrderRule {
    pub(in crate::samplers) most: usize,
    lower_order_final: bool,
    first_at_end: bool,
}

impl OrderRule {
    pub(in crate::samplers) fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            most: fields.count("solver_order", 2, 1, 3)?,
            lower_order_final: fields.flag("lower_order_final", true)?,
            first_at_end: false,
        })
    }

    /// The same for classes that can end at zero noise, where only the first order is finite.
    pub(in crate::samplers) fn read_with_end(
        fields: Fields<'_>,
        last: FinalSigmas,
    ) -> Result<Self, ConfigError> {
        let euler_at_final = fields.flag("euler_at_final", false)?;
        let first_at_end = euler_at_final || last == FinalSigmas::Zero;
        Ok(Self { first_at_end, ..Self::read(fields)? })
    }

    /// The order of the step from `index`, before which this run made `made`.
    pub(in crate::samplers) fn order(&self, rungs: &Rungs, index: usize, made: usize) -> usize {
        let steps = rungs.timesteps.len();
        let lower = self.lower_order_final && steps < FEW_STEPS;
        let most = match steps - index {
            _ if rungs.levels[index + 1].noise == 0.0 => 1,
            1 if lower || self.first_at_end => 1,
            2 if lower => self.most.min(made + 1).min(2),
            _ => self.most.min(made + 1),
        };
        rungs.possible_order(index, most)
    }
}

/// The form of an update.
#[derive(Debug, Clone, Copy)]
pub(in crate::samplers) struct UpdateRule {
    pub(in crate::samplers) algorithm: Algorithm,
    pub(in crate::samplers) solver_type: SolverType,
    /// How much of the second difference is taken, in halves.
    pub(in crate::samplers) curve: f64,
}

/// The next latents after a step of this order from `index`, by the `values` there and before it, the newest first.
pub(in crate::samplers) fn update(
    rungs: &Rungs,
    index: usize,
    order: usize,
    rule: UpdateRule,
    values: [Combination; 3],
) -> Combination {
    let UpdateRule { algorithm, solver_type, .. } = rule;
    let weights = weights(algorithm, rungs.levels[index], rungs.levels[index + 1]);
    let h = |back: usize| rungs.lambda(index + 1 - back) - rungs.lambda(index - back);
    let [newest, before, _] = &values;
    let mut next = weights.sample * Sample + weights.value * newest.clone();
    if order == 2 {
        let slope = (h(0) / h(1)) * (newest.clone() - before.clone());
        next = next
            + match solver_type {
                SolverType::Midpoint => weights.midpoint * slope,
                SolverType::Heun => weights.slope * slope,
            };
    } else if order == 3 {
        let (slope, curve) = divided(values, h(1) / h(0), h(2) / h(0));
        next = next + weights.slope * slope + (rule.curve * weights.curve) * curve;
    }
    if algorithm.is_stochastic() { next + weights.noise * Noise } else { next }
}

impl Method for DpmMultistepMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        refuse_learned_variance(fields)?;
        let ladder = LogSnrLadder::read(fields, Family::Multistep)?;
        let algorithm = algorithm(fields, Algorithm::ALL)?;
        let orders = OrderRule::read_with_end(fields, ladder.final_sigmas)?;
        let is_exact = fields.switch("exact_third_order")?;
        if is_exact && algorithm.is_stochastic() {
            return Err(fields.unsupported("exact_third_order", format!("true for {algorithm}")));
        }
        if algorithm == Algorithm::SdeNoise && orders.most == 3 {
            return Err(fields.unsupported("solver_order", format!("3 for {algorithm}")));
        }
        Ok(Self { ladder, algorithm, solver_type: solver_type(fields)?, orders, is_exact })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let rule = UpdateRule {
            algorithm: self.algorithm,
            solver_type: self.solver_type,
            curve: if self.is_exact { 2.0 } else { 1.0 },
        };
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let (from, to) = (rungs.levels[index], rungs.levels[index + 1]);
            let value = match self.algorithm.predicts_noise() {
                true => self.ladder.noise(from),
                false => 1.0 * Denoised,
            };
            let order = self.orders.order(&rungs, index, made);
            let values = [value.clone(), 1.0 * Stored(HISTORY[0]), 1.0 * Stored(HISTORY[1])];
            let stage = self.ladder.stage(&rungs, index);
            stage
                .remember(&HISTORY[..self.orders.most - 1], made, value)
                .next(update(&rungs, index, order, rule, values))
                .noise_between(from.sigma(), to.sigma())
                .finish_step()
        })
    }
}
