//! The update formulas (algorithm 2, and its third-order sibling).

use super::{DpmMultistep, SolverType};
use crate::{
    combination::{
        Combination,
        Value::{Denoised, Sample, Stored},
    },
    program::Stage,
    schedule::{FinalSigmas, NoiseLevel},
};

/// Below this number of steps, the last ones are of lower order, for stability.
const FEW_STEPS: usize = 15;

impl DpmMultistep {
    /// The order of a step, of which `made` steps came before in this run.
    pub(super) fn order(&self, index: usize, steps: usize, made: usize) -> usize {
        let lower = self.lower_order_final && steps < FEW_STEPS;
        let first_at_end = self.euler_at_final || lower || self.final_sigmas == FinalSigmas::Zero;
        match steps - index {
            1 if first_at_end => 1,
            2 if lower => self.solver_order.min(made + 1).min(2),
            _ => self.solver_order.min(made + 1),
        }
    }

    /// One evaluation and its update.
    pub(super) fn stage(
        &self,
        timestep: f64,
        sigmas: &[f64],
        index: usize,
        order: usize,
        made: usize,
    ) -> Stage {
        let (current, next) = (sigmas[index], sigmas[index + 1]);
        // lambda = -ln(sigma), so exp(-h) is the ratio of the sigmas and h the logarithm of its inverse
        let h = |step: usize| (sigmas[index - step] / sigmas[index - step + 1]).ln();
        let (from, to) = (
            NoiseLevel::variance_preserving_sigma(current),
            NoiseLevel::variance_preserving_sigma(next),
        );
        let phi_1 = next / current - 1.0;
        let mut result = (to.noise / from.noise) * Sample - (to.signal * phi_1) * Denoised;
        if order >= 2 {
            let phi_2 = phi_1 / h(0) + 1.0;
            let slope = (h(0) / h(1)) * (1.0 * Denoised - 1.0 * Stored(0));
            let correction = match (order, self.solver_type) {
                (3, _) => third_order(to.signal, slope, (h(0), h(1), h(2)), phi_1, phi_2),
                (_, SolverType::Midpoint) => (-0.5 * to.signal * phi_1) * slope,
                (_, SolverType::Heun) => (to.signal * phi_2) * slope,
            };
            result = result + correction;
        }
        let mut stage = Stage::new(timestep, from, self.training.prediction_type).limit(self.limit);
        if self.solver_order >= 2 {
            stage = stage.store(0, 1.0 * Denoised);
        }
        if self.solver_order >= 3 && made >= 1 {
            stage = stage.store(1, 1.0 * Stored(0));
        }
        stage.next(result).finish_step()
    }
}

/// The correction of the third-order update; `h` are the last three steps in lambda, the newest first.
fn third_order(
    signal: f64,
    slope: Combination,
    h: (f64, f64, f64),
    phi_1: f64,
    phi_2: f64,
) -> Combination {
    let (r0, r1) = (h.1 / h.0, h.2 / h.0);
    let earlier = (1.0 / r1) * (1.0 * Stored(0) - 1.0 * Stored(1));
    let change = (1.0 / (r0 + r1)) * (slope.clone() - earlier);
    let phi_3 = (phi_1 + h.0) / (h.0 * h.0) - 0.5;
    (signal * phi_2) * (slope + r0 * change.clone()) - (signal * phi_3) * change
}
