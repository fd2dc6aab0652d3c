//! The linear multistep method of Adams and Bashforth with unequal steps, from k-diffusion's `sample_lms`
//! (<https://github.com/crowsonkb/k-diffusion>): the polynomial through the last slopes is integrated over the step.

use super::{
    Configured, DIFFUSION, Method, heun::derivative, refuse_zero_snr, sigma_ladder::SigmaLadder,
};
use crate::{
    SchedulerConfig,
    combination::Value::{Sample, Stored},
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
};

/// Slopes that the polynomial goes through.
const ORDER: usize = 4;
/// Slots of the earlier slopes, the newest first.
const HISTORY: [usize; ORDER - 1] = [0, 1, 2];

/// `LMSDiscreteScheduler`, of order 4.
pub type Lms = Configured<LmsMethod>;

/// The method of [`Lms`].
#[derive(Debug, Clone)]
pub struct LmsMethod {
    ladder: SigmaLadder,
}

/// The integral from `nodes[0]` to `end` of the polynomial that is 1 at one node and 0 at the others. Of degree 3 at most, so
/// that Gauss' rule with two points is exact.
fn integral(nodes: &[f64], one: usize, end: f64) -> f64 {
    let (middle, half) = (0.5 * (end + nodes[0]), 0.5 * (end - nodes[0]));
    let polynomial = |x: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(index, _)| *index != one);
        others.map(|(_, node)| (x - node) / (nodes[one] - node)).product()
    };
    let offset = half / 3f64.sqrt();
    half * (polynomial(middle - offset) + polynomial(middle + offset))
}

impl Method for LmsMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        refuse_zero_snr(config.fields())?;
        Ok(Self { ladder: SigmaLadder::read_with_switches(config.fields(), DIFFUSION)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let stages = rungs.from(request.begin).enumerate().map(|(made, rung)| {
            let order = ORDER.min(made + 1);
            let index = request.begin + made;
            let nodes: Vec<f64> = (0..order).map(|back| rungs.sigmas[index - back]).collect();
            let slope = derivative(rung.from);
            let mut next = 1.0 * Sample + integral(&nodes, 0, rung.to) * slope.clone();
            for back in 1..order {
                next = next + integral(&nodes, back, rung.to) * Stored(HISTORY[back - 1]);
            }
            let stage = self.ladder.stage(rung.timestep, rung.from);
            stage.remember(&HISTORY, made, slope).next(next).finish_step()
        });
        self.ladder.plan(request, &rungs, stages.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // With equal steps of -1 these are the Adams-Bashforth coefficients that everyone knows.
    #[test]
    fn equal_steps_give_the_classical_coefficients() {
        let coefficients = |order: usize| -> Vec<f64> {
            let nodes: Vec<f64> = (0..order).map(|back| 5.0 + back as f64).collect();
            (0..order).map(|one| -integral(&nodes, one, 4.0)).collect()
        };
        for (order, expected) in [
            (1, vec![1.0]),
            (2, vec![1.5, -0.5]),
            (3, vec![23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0]),
            (4, vec![55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0]),
        ] {
            for (found, expected) in coefficients(order).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{order}: {found} {expected}");
            }
        }
    }
}
