//! A moving average of weights.

use sd_kernels::DiffusionBackend;

use crate::{Optimizer, row::Row};

/// An exponential moving average of the weights that an optimiser moves, in f32. What is generated with it is steadier than what
/// the last weights give.
#[derive(Debug, Clone)]
pub struct Ema<I: DiffusionBackend> {
    decay: f64,
    steps: u64,
    rows: Vec<Row<I>>,
}

impl<I: DiffusionBackend> Ema<I> {
    /// An average of nothing yet. Of the old average `decay` stays in each step, less in the first ones, as diffusers'
    /// `EMAModel` has it: `min(decay, (1 + step) / (10 + step))`.
    pub fn new(decay: f64) -> Self {
        Self { decay, steps: 0, rows: Vec::new() }
    }

    /// Takes in the weights after a step. The average of a parameter begins with its first step.
    pub fn take(&mut self, optimizer: &Optimizer<I>) {
        let steps = self.steps as f64;
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        let rows = optimizer.weights().map(|weights| match self.average(weights) {
            Some(average) => {
                average.map(|average| average * decay + weights.values().clone() * (1.0 - decay))
            }
            None => weights.clone(),
        });
        self.rows = rows.collect();
        self.steps += 1;
    }

    /// The average until now, of parameters that stand as these weights do.
    fn average(&self, weights: &Row<I>) -> Option<Row<I>> {
        if let Some(row) = self.rows.iter().find(|row| row.layout() == weights.layout()) {
            return Some(row.clone());
        }
        let known = |path: &str| self.rows.iter().find_map(|row| row.get(path));
        weights.layout().paths().find_map(&known)?;
        let values = weights.layout().paths().filter_map(|path| {
            let value = known(path).or_else(|| weights.get(path))?;
            Some((path.to_owned(), value.into()))
        });
        Row::gather(values.collect())
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn rows(&self) -> &[Row<I>] {
        &self.rows
    }

    pub(crate) fn restore(decay: f64, steps: u64, row: Option<Row<I>>) -> Self {
        Self { decay, steps, rows: row.into_iter().collect() }
    }
}
