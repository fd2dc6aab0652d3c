//! SA-Solver: "SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models",
//! <https://arxiv.org/abs/2309.05019>, algorithm 1: a stochastic Adams-Bashforth predictor and an Adams-Moulton corrector.

use super::{
    Configured, Method,
    dpm::{Family, LogSnrLadder, Rungs},
    exponential::{Integrand, adams, weights},
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Noise, Sample, Stored},
    },
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::Plan,
    request::PlanRequest,
    schedule::NoiseLevel,
};

named_enum! {
    /// What is taken as a polynomial between the steps.
    pub enum SaAlgorithm ("SA-Solver algorithm type") {
        /// The predicted clean latents.
        Data = "data_prediction",
        /// The predicted noise.
        Noise = "noise_prediction",
    }
}

/// Slot of the latents at the beginning of the step, after correction.
const START: usize = 0;
/// Slot of the noise of the last step.
const LAST_NOISE: usize = 1;
/// Slots of the earlier values, the newest first.
const HISTORY: [usize; 4] = [2, 3, 4, 5];

/// `SASolverScheduler`, with the noise of its default `tau_func`: 1 between the timesteps 200 and 800, none elsewhere.
pub type SaSolver = Configured<SaSolverMethod>;

/// The method of [`SaSolver`].
#[derive(Debug, Clone)]
pub struct SaSolverMethod {
    ladder: LogSnrLadder,
    algorithm: SaAlgorithm,
    predictor_order: usize,
    corrector_order: usize,
    lower_order_final: bool,
}

/// A step from `place` to the next with noise of strength `tau`, through values at these places.
struct Step<'a> {
    rungs: &'a Rungs,
    place: usize,
    tau: f64,
    algorithm: SaAlgorithm,
    nodes: Vec<usize>,
}

impl Step<'_> {
    /// Weights of the values at the nodes.
    fn weights(&self) -> Vec<f64> {
        let integrand = match self.algorithm {
            SaAlgorithm::Data => Integrand::Clean { tau: self.tau },
            SaAlgorithm::Noise => Integrand::Noise { tau: self.tau },
        };
        let mut found = adams(self.rungs, self.place, &self.nodes, integrand);
        if self.algorithm == SaAlgorithm::Data && self.nodes.len() == 2 {
            // diffusers' form of the second order, which differs in terms beyond it: instead of the exact
            // (strength h - 1 + e^(-strength h)) / strength² it takes h² / 2.
            let lambda = |place: usize| self.rungs.lambda(place);
            let strength = 1.0 + self.tau * self.tau;
            let h = lambda(self.place + 1) - lambda(self.place);
            let exact = (h - weights(&[0.0], strength, h)[0]) / strength;
            let change =
                strength * self.rungs.levels[self.place + 1].signal * (h * h / 2.0 - exact)
                    / (lambda(self.nodes[0]) - lambda(self.nodes[1]));
            found[0] += change;
            found[1] -= change;
        }
        found
    }

    fn next(&self, start: Combination, noise: Combination, values: &[Combination]) -> Combination {
        let (from, to) = (self.rungs.levels[self.place], self.rungs.levels[self.place + 1]);
        let h = self.rungs.lambda(self.place + 1) - self.rungs.lambda(self.place);
        // Without noise nothing decays, down to zero noise (where h is infinite) too.
        let decay = if self.tau == 0.0 { 0.0 } else { self.tau * self.tau * h };
        let (sample, spread) = match self.algorithm {
            SaAlgorithm::Data => (
                (-decay).exp() * to.noise / from.noise,
                to.noise * (-(-2.0 * decay).exp_m1()).sqrt(),
            ),
            SaAlgorithm::Noise => {
                (to.signal / from.signal, self.tau * to.noise * (2.0 * h).exp_m1().sqrt())
            }
        };
        let next = sample * start + spread * noise;
        self.weights()
            .into_iter()
            .zip(values)
            .fold(next, |sum, (weight, value)| sum + weight * value.clone())
    }
}

/// The default `tau_func`.
fn tau(timestep: f64) -> f64 {
    if (200.0..=800.0).contains(&timestep) { 1.0 } else { 0.0 }
}

impl SaSolverMethod {
    fn order(&self, most: usize, left: usize, known: usize) -> usize {
        let most = if self.lower_order_final { most.min(left) } else { most };
        most.min(known)
    }

    fn value(&self, level: NoiseLevel) -> Combination {
        match self.algorithm {
            SaAlgorithm::Data => 1.0 * Denoised,
            SaAlgorithm::Noise => level.epsilon(self.ladder.prediction),
        }
    }

    /// A step from `place`, of the values at `first` and before it.
    fn step<'a>(&self, rungs: &'a Rungs, place: usize, first: usize, order: usize) -> Step<'a> {
        let nodes = (0..order).map(|back| first - back).collect();
        let tau = tau(rungs.timesteps[place]);
        Step { rungs, place, tau, algorithm: self.algorithm, nodes }
    }
}

impl Method for SaSolverMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        super::dpm::refuse_learned_variance(fields)?;
        if fields.values.get("tau_func").is_some_and(|value| !value.is_null()) {
            return Err(fields.unsupported("tau_func", "a function"));
        }
        let algorithm = match fields.text("algorithm_type", "data_prediction")?.as_str() {
            // what other classes write means nothing to this one; diffusers refuses it
            name @ ("dpmsolver++" | "dpmsolver" | "deis") => {
                return Err(fields.unsupported("algorithm_type", name));
            }
            _ => fields.name("algorithm_type", SaAlgorithm::Data)?,
        };
        if algorithm == SaAlgorithm::Noise && fields.flag("thresholding", false)? {
            return Err(fields.unsupported("thresholding", format!("true for {algorithm}")));
        }
        Ok(Self {
            ladder: LogSnrLadder::read(fields, Family::SaSolver)?,
            algorithm,
            predictor_order: fields.count("predictor_order", 2, 1, 4)?,
            corrector_order: fields.count("corrector_order", 2, 1, 4)?,
            lower_order_final: fields.flag("lower_order_final", true)?,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let steps = rungs.timesteps.len();
        let kept = self.predictor_order.max(self.corrector_order - 1);
        let stored = HISTORY.map(|slot| 1.0 * Stored(slot));
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let value = self.value(rungs.levels[index]);
            let values: Vec<Combination> =
                [value.clone()].into_iter().chain(stored.clone()).collect();
            let corrected = if made == 0 {
                1.0 * Sample
            } else {
                let known = kept.min(made - 1) + 2;
                let order = self.order(self.corrector_order, steps - index + 2, known);
                let order = rungs.distinct(index, order);
                self.step(&rungs, index - 1, index, order).next(
                    1.0 * Stored(START),
                    1.0 * Stored(LAST_NOISE),
                    &values,
                )
            };
            let order = self.order(self.predictor_order, steps - index, kept.min(made) + 1);
            let order = rungs.possible_order(index, order);
            let step = self.step(&rungs, index, index, order);
            let next = step.next(corrected.clone(), 1.0 * Noise, &values);
            self.ladder
                .stage(&rungs, index)
                .store(START, corrected)
                .store(LAST_NOISE, 1.0 * Noise)
                .remember(&HISTORY[..kept], made, value)
                .next(next)
                .noise_between(rungs.levels[index].sigma(), rungs.levels[index + 1].sigma())
                .finish_step()
        })
    }
}
