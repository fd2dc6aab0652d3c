//! DEIS: "Fast Sampling of Diffusion Models with Exponential Integrator", <https://arxiv.org/abs/2204.13902>, multistep
//! with polynomials in the logarithm of rho (the noise-to-signal ratio), section 3.3.

use super::{
    Configured, Method,
    dpm::{Family, LogSnrLadder, OrderRule},
    exponential::{Integrand, adams},
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

impl Method for DeisMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        check_names(fields)?;
        let ladder = LogSnrLadder::read(fields, Family::Deis)?;
        Ok(Self { ladder, orders: OrderRule::read(fields)? })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let to = rungs.levels[index + 1];
            let order = self.orders.order(&rungs, index, made);
            let from = rungs.levels[index];
            let noise = self.ladder.noise(from);
            let nodes: Vec<usize> = (0..order).map(|back| index - back).collect();
            let weights = adams(&rungs, index, &nodes, Integrand::Noise { tau: 0.0 });
            let mut next = (to.signal / from.signal) * Sample + weights[0] * noise.clone();
            for (weight, slot) in weights[1..].iter().zip(HISTORY) {
                next = next + *weight * Stored(slot);
            }
            self.ladder
                .stage(&rungs, index)
                .remember(&HISTORY[..self.orders.most - 1], made, noise)
                .next(next)
                .finish_step()
        })
    }
}
