//! DEIS: "Fast Sampling of Diffusion Models with Exponential Integrator", <https://arxiv.org/abs/2204.13902>, multistep
//! with polynomials in the logarithm of rho (the noise-to-signal ratio).

use super::{
    Configured, Method,
    dpm::{Family, LogSnrLadder, OrderRule, Rungs},
    exponential,
};
use crate::{
    SchedulerConfig,
    combination::Value::{Sample, Stored},
    config::Fields,
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
};

/// Slots of the earlier predictions of noise, the newest first.
const HISTORY: [usize; 2] = [0, 1];

/// `DEISMultistepScheduler`: it ends at the least sigma of training.
pub type Deis = Configured<DeisMethod>;

/// The method of [`Deis`].
#[derive(Debug, Clone)]
pub struct DeisMethod {
    ladder: LogSnrLadder,
    orders: OrderRule,
}

fn check_names(fields: Fields<'_>) -> Result<(), ConfigError> {
    // Those of DPM-Solver and UniPC are taken as DEIS' own, as in diffusers.
    for (key, default, known) in [
        ("algorithm_type", "deis", ["deis", "dpmsolver", "dpmsolver++", ""].as_slice()),
        ("solver_type", "logrho", ["logrho", "midpoint", "heun", "bh1", "bh2"].as_slice()),
    ] {
        let text = fields.text(key, default)?;
        if !known.contains(&text.as_str()) {
            return Err(fields.unsupported(key, text));
        }
    }
    Ok(())
}

impl DeisMethod {
    fn step(&self, rungs: &Rungs, index: usize, order: usize) -> crate::Combination {
        let (from, to) = (rungs.levels[index], rungs.levels[index + 1]);
        let noise = self.ladder.noise(from);
        let mut next = (to.signal / from.signal) * Sample;
        if order == 1 {
            return next + (to.noise - to.signal * from.sigma()) * noise;
        }
        // In terms of u = ln(rho) from the end of the step: an integral of polynomials times e^u.
        let end = -rungs.lambda(index + 1);
        let nodes: Vec<f64> = (0..order).map(|back| -rungs.lambda(index - back) - end).collect();
        let weights = exponential::weights(&nodes, 1.0, -nodes[0]);
        let front = to.signal * to.sigma();
        next = next + (front * weights[0]) * noise;
        for back in 1..order {
            next = next + (front * weights[back]) * Stored(HISTORY[back - 1]);
        }
        next
    }
}

impl Method for DeisMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        check_names(fields)?;
        let ladder = LogSnrLadder::read(fields, Family::Deis)?;
        Ok(Self { ladder, orders: OrderRule::read(fields)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let steps = rungs.timesteps.len();
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let to = rungs.levels[index + 1];
            let order = self.orders.order(index, steps, made, to.noise == 0.0);
            let noise = self.ladder.noise(rungs.levels[index]);
            self.ladder
                .stage(&rungs, index)
                .remember(&HISTORY[..self.orders.most - 1], made, noise)
                .next(self.step(&rungs, index, order))
                .finish_step()
        })
    }
}
