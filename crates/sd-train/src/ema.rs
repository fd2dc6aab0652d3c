//! A moving average of weights.

use std::collections::BTreeMap;

use burn::tensor::{
    FloatDType, Tensor,
    backend::{AutodiffBackend, Backend},
};
use sd_nn::checkpoint::{AnyTensor, ParameterError, Parameters};

/// An exponential moving average of the weights, in f32, by path. What is generated with it is steadier than what the last
/// weights give.
#[derive(Debug, Clone)]
pub struct Ema<I: Backend> {
    decay: f64,
    steps: u64,
    rows: BTreeMap<String, Tensor<I, 1>>,
}

impl<I: Backend> Ema<I> {
    /// An average of nothing yet. Of the old average `decay` stays in each step, less in the first ones, as diffusers'
    /// `EMAModel` has it: `min(decay, (1 + step) / (10 + step))`.
    pub fn new(decay: f64) -> Self {
        Self { decay, steps: 0, rows: BTreeMap::new() }
    }

    /// Takes in the weights of a module after a step; `prefix` stands before the paths.
    pub fn take<B>(&mut self, prefix: &str, module: &(impl Parameters<B> + ?Sized))
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let steps = self.steps as f64;
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        module.visit_parameters(&mut |view| {
            let row = view.tensor().inner().cast(FloatDType::F32).flatten();
            let path = format!("{prefix}{}", view.path());
            let average = match self.rows.remove(&path) {
                Some(average) => average * decay + row * (1.0 - decay),
                None => row,
            };
            self.rows.insert(path, average);
        });
    }

    /// Ends a step, in which every module was taken in once.
    pub fn finish_step(&mut self) {
        self.steps += 1;
    }

    /// Puts the averages into the place of the weights.
    ///
    /// # Errors
    /// [`ParameterError`], when the module takes no parameter of its own shape.
    pub fn apply<B>(
        &self,
        prefix: &str,
        module: &mut (impl Parameters<B> + ?Sized),
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        module.map_parameters(&mut |path, value| match self.rows.get(&format!("{prefix}{path}")) {
            Some(row) => {
                let dtype = FloatDType::from(value.dtype());
                let average = AnyTensor::from_flat(row.clone(), &value.shape());
                AnyTensor::from_inner(average.cast(dtype))
            }
            None => value,
        })
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn rows(&self) -> &BTreeMap<String, Tensor<I, 1>> {
        &self.rows
    }

    pub(crate) fn restore(decay: f64, steps: u64, rows: BTreeMap<String, Tensor<I, 1>>) -> Self {
        Self { decay, steps, rows }
    }
}
