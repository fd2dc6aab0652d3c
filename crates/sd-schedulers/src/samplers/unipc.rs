//! UniPC: "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models",
//! <https://arxiv.org/abs/2302.04867>, algorithms 1 and 2. The corrector uses the evaluation that the next step makes anyway.

use super::{
    Configured, Method,
    dpm::{Family, LogSnrLadder, Rungs},
    exponential::{Integrand, adams},
};
use crate::{
    SchedulerConfig,
    combination::{
        Combination,
        Value::{Denoised, Sample, Stored},
    },
    config::Fields,
    error::{ConfigError, PlanError},
    names::named_enum,
    plan::Plan,
    request::PlanRequest,
    schedule::NoiseLevel,
};

named_enum! {
    /// The function `B(h)` of the paper.
    pub enum UniPcForm ("UniPC solver type") {
        /// `h`.
        Bh1 = "bh1",
        /// `e^h - 1`.
        Bh2 = "bh2",
    }
}

/// Slot of the latents at the beginning of the step, after correction.
const START: usize = 0;
/// Slots of the earlier values, the newest first.
const HISTORY: [usize; 4] = [1, 2, 3, 4];

/// `UniPCMultistepScheduler`.
pub type UniPc = Configured<UniPcMethod>;

/// The method of [`UniPc`].
#[derive(Debug, Clone)]
pub struct UniPcMethod {
    ladder: LogSnrLadder,
    form: UniPcForm,
    most: usize,
    predict_x0: bool,
    lower_order_final: bool,
    disable_corrector: Vec<f64>,
}

/// One step of predictor or corrector: from a place of the ladder to the next.
struct Step<'a> {
    rungs: &'a Rungs,
    place: usize,
    /// Places of the values: that where the step begins, those before it, and for the corrector first of all its end.
    nodes: Vec<usize>,
    integrand: Integrand,
    form: UniPcForm,
}

impl Step<'_> {
    /// The next latents, by the values at the nodes.
    ///
    /// The paper's linear system has one solution, which integrates the polynomial through the values; for two values it takes
    /// another, simpler one, in which `B(h)` matters.
    fn next(&self, start: Combination, values: &[Combination]) -> Combination {
        let (from, to) = (self.rungs.levels[self.place], self.rungs.levels[self.place + 1]);
        let is_clean = matches!(self.integrand, Integrand::Clean { .. });
        let ratio = if is_clean { to.noise / from.noise } else { to.signal / from.signal };
        let next = ratio * start;
        if self.nodes.len() != 2 {
            let weights = adams(self.rungs, self.place, &self.nodes, self.integrand);
            return weights
                .iter()
                .zip(values)
                .fold(next, |sum, (weight, value)| sum + *weight * value.clone());
        }
        let lambda = |place: usize| self.rungs.lambda(place);
        let h = lambda(self.place + 1) - lambda(self.place);
        let (front, hh) = if is_clean { (to.signal, -h) } else { (to.noise, h) };
        let b_h = match self.form {
            UniPcForm::Bh1 => hh,
            UniPcForm::Bh2 => hh.exp_m1(),
        };
        let here = usize::from(self.nodes[0] != self.place);
        let r = (lambda(self.nodes[1 - here]) - lambda(self.place)) / h;
        let slope = (1.0 / r) * (values[1 - here].clone() - values[here].clone());
        let constant = adams(self.rungs, self.place, &[self.place], self.integrand)[0];
        next + constant * values[here].clone() - (0.5 * front * b_h) * slope
    }
}

impl UniPcMethod {
    /// The order of the step from `index`, of which `made` came before in this run.
    fn order(&self, index: usize, steps: usize, made: usize) -> usize {
        let most = if self.lower_order_final { self.most.min(steps - index) } else { self.most };
        most.min(made + 1)
    }

    /// What stands for the model: the clean latents, or the noise (which thresholding does not touch).
    fn value(&self, level: NoiseLevel) -> Combination {
        match self.predict_x0 {
            true => 1.0 * Denoised,
            false => level.epsilon(self.ladder.prediction),
        }
    }

    /// A step from `place`, of `count` values: from its end on for the corrector, else from its beginning.
    fn step<'a>(&self, rungs: &'a Rungs, place: usize, first: usize, count: usize) -> Step<'a> {
        let integrand = match self.predict_x0 {
            true => Integrand::Clean { tau: 0.0 },
            false => Integrand::Noise { tau: 0.0 },
        };
        let nodes = (0..count).map(|back| first - back).collect();
        Step { rungs, place, nodes, integrand, form: self.form }
    }
}

fn read_form(fields: Fields<'_>) -> Result<UniPcForm, ConfigError> {
    match fields.text("solver_type", "bh2")?.as_str() {
        "midpoint" | "heun" | "logrho" => Ok(UniPcForm::Bh2),
        _ => fields.name("solver_type", UniPcForm::Bh2),
    }
}

impl Method for UniPcMethod {
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        if fields.values.get("solver_p").is_some_and(|value| !value.is_null()) {
            return Err(fields.unsupported("solver_p", "another scheduler"));
        }
        Ok(Self {
            ladder: LogSnrLadder::read(fields, Family::UniPc)?,
            form: read_form(fields)?,
            most: fields.count("solver_order", 2, 1, HISTORY.len())?,
            predict_x0: fields.flag("predict_x0", true)?,
            lower_order_final: fields.flag("lower_order_final", true)?,
            disable_corrector: fields.optional_numbers("disable_corrector")?.unwrap_or_default(),
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let rungs = self.ladder.rungs(request)?;
        let steps = rungs.timesteps.len();
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let value = self.value(rungs.levels[index]);
            let stored = HISTORY.iter().map(|&slot| 1.0 * Stored(slot));
            let values: Vec<Combination> = [value.clone()].into_iter().chain(stored).collect();
            let is_off = made > 0 && self.disable_corrector.contains(&((index - 1) as f64));
            let corrected = if made == 0 || is_off {
                1.0 * Sample
            } else {
                let count = self.order(index - 1, steps, made - 1) + 1;
                let count = rungs.distinct(index, count);
                self.step(&rungs, index - 1, index, count).next(1.0 * Stored(START), &values)
            };
            let to_zero = rungs.levels[index + 1].noise == 0.0 && self.lower_order_final;
            let order = if to_zero { 1 } else { self.order(index, steps, made) };
            let order = rungs.possible_order(index, order);
            let next = self.step(&rungs, index, index, order).next(corrected.clone(), &values);
            let stage = self.ladder.stage(&rungs, index).store(START, corrected);
            stage.remember(&HISTORY[..self.most], made, value).next(next).finish_step()
        })
    }
}
