//! UniPC: "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models",
//! <https://arxiv.org/abs/2302.04867>, algorithms 1 and 2. The corrector uses the evaluation that the next step makes anyway.

use super::{
    Configured, Method,
    dpm::{Family, LogSnrLadder, Rungs},
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
    order: usize,
    form: UniPcForm,
    predict_x0: bool,
}

/// The numbers of a step.
struct Numbers {
    h: f64,
    /// Of the latents.
    sample: f64,
    /// Of the integral.
    front: f64,
    b_h: f64,
    /// `b` of the linear system.
    right: Vec<f64>,
    /// Places of the earlier values, in steps.
    ratios: Vec<f64>,
}

impl Step<'_> {
    fn ends(&self) -> (NoiseLevel, NoiseLevel) {
        (self.rungs.levels[self.place], self.rungs.levels[self.place + 1])
    }

    fn numbers(&self) -> Numbers {
        let (from, to) = self.ends();
        let h = self.rungs.lambda(self.place + 1) - self.rungs.lambda(self.place);
        let (hh, sample, front) = match self.predict_x0 {
            true => (-h, to.noise / from.noise, to.signal),
            false => (h, to.signal / from.signal, to.noise),
        };
        let b_h = match self.form {
            UniPcForm::Bh1 => hh,
            UniPcForm::Bh2 => hh.exp_m1(),
        };
        let (mut phi, mut factorial) = (hh.exp_m1() / hh - 1.0, 1.0);
        let mut right = Vec::new();
        for i in 1..=self.order {
            right.push(phi * factorial / b_h);
            factorial *= (i + 1) as f64;
            phi = phi / hh - 1.0 / factorial;
        }
        let here = self.rungs.lambda(self.place);
        let ratio = |back: usize| (self.rungs.lambda(self.place - back) - here) / h;
        let ratios = (1..self.order).map(ratio).collect();
        Numbers { h: hh, sample, front, b_h, right, ratios }
    }

    /// The next latents by the value at the place, those before it, and, for the corrector, that at the end.
    fn next(
        &self,
        start: Combination,
        here: &Combination,
        before: &[Combination],
        end: Option<Combination>,
    ) -> Combination {
        let Numbers { h, sample, front, b_h, right, ratios } = self.numbers();
        let mut next = sample * start - (front * h.exp_m1()) * here.clone();
        let unknowns = ratios.len() + usize::from(end.is_some());
        let rhos = match (unknowns, &end) {
            (0, _) => Vec::new(),
            // The paper's choice for the lowest orders; the system would give the same up to the order of the method.
            (1, _) => vec![0.5],
            _ => {
                let places: Vec<f64> = ratios.iter().copied().chain([1.0]).take(unknowns).collect();
                let rows = (0..unknowns as i32)
                    .map(|power| places.iter().map(|place| place.powi(power)).collect())
                    .collect();
                solve(rows, right[..unknowns].to_vec())
            }
        };
        for ((rho, ratio), earlier) in rhos.iter().zip(&ratios).zip(before) {
            let slope = (1.0 / ratio) * (earlier.clone() - here.clone());
            next = next - (front * b_h * rho) * slope;
        }
        match (end, rhos.last()) {
            (Some(end), Some(rho)) => next - (front * b_h * rho) * (end - here.clone()),
            _ => next,
        }
    }
}

/// Solves a small linear system by elimination with pivots; a singular one gives what is not finite.
fn solve(mut rows: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
            .unwrap_or(column);
        rows.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..size {
            let factor = rows[row][column] / rows[column][column];
            let pivot_row = rows[column].clone();
            rows[row].iter_mut().zip(pivot_row).for_each(|(value, above)| *value -= factor * above);
            right[row] -= factor * right[column];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| rows[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / rows[row][row];
    }
    right
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

    fn step<'a>(&self, rungs: &'a Rungs, place: usize, order: usize) -> Step<'a> {
        Step { rungs, place, order, form: self.form, predict_x0: self.predict_x0 }
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
        let stored = HISTORY.map(|slot| 1.0 * Stored(slot));
        self.ladder.plan(request, &rungs, |index| {
            let made = index - request.begin;
            let value = self.value(rungs.levels[index]);
            let is_off = made > 0 && self.disable_corrector.contains(&((index - 1) as f64));
            let corrected = if made == 0 || is_off {
                1.0 * Sample
            } else {
                let step = self.step(&rungs, index - 1, self.order(index - 1, steps, made - 1));
                step.next(1.0 * Stored(START), &stored[0], &stored[1..], Some(value.clone()))
            };
            let to_zero = rungs.levels[index + 1].noise == 0.0 && self.lower_order_final;
            let order = if to_zero { 1 } else { self.order(index, steps, made) };
            let next =
                self.step(&rungs, index, order).next(corrected.clone(), &value, &stored, None);
            let stage = self.ladder.stage(&rungs, index).store(START, corrected);
            stage.remember(&HISTORY[..self.most], made, value).next(next).finish_step()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn linear_systems() {
        // the first pivot is zero
        let rows = vec![vec![0.0, 2.0, 1.0], vec![1.0, 1.0, 1.0], vec![2.0, -1.0, 3.0]];
        let found = solve(rows, vec![7.0, 6.0, 9.0]);
        for (found, expected) in found.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
    }
}
