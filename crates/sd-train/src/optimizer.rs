//! AdamW over parameters by path.

use std::collections::BTreeMap;

use burn::tensor::{
    DType, FloatDType, Tensor,
    backend::{AutodiffBackend, Backend},
};
use burn_optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
use sd_nn::checkpoint::{AnyTensor, ParameterError, Parameters};
use serde::{Deserialize, Serialize};

use crate::Gradients;

/// AdamW (<https://arxiv.org/abs/1711.05101>), with PyTorch's defaults; Burn's are others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdamWOptions {
    /// How slowly the mean of the gradients follows them. Default: 0.9.
    pub beta_1: f32,
    /// How slowly the mean of their squares follows. Default: 0.999.
    pub beta_2: f32,
    /// Keeps the quotient finite. Default: 1e-8.
    pub eps: f32,
    /// Share of a weight that a step of learning rate 1 takes from it. Default: 0.01.
    pub weight_decay: f32,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, eps: 1e-8, weight_decay: 1e-2 }
    }
}

/// The optimiser, with its state for every parameter that had a gradient.
///
/// Working weights may be of 16 bits: updates go to f32 masters, which it keeps for those.
#[derive(Clone)]
pub struct Optimizer<I: Backend> {
    adamw: AdamW,
    slots: BTreeMap<String, Slot<I>>,
}

/// What is remembered of one parameter, in f32, as rows.
#[derive(Clone)]
pub(crate) struct Slot<I: Backend> {
    /// Steps made.
    pub(crate) time: usize,
    /// Mean of the gradients.
    pub(crate) moment_1: Tensor<I, 1>,
    /// Mean of their squares.
    pub(crate) moment_2: Tensor<I, 1>,
    /// The weight, where the working weight is of 16 bits.
    pub(crate) master: Option<Tensor<I, 1>>,
}

impl<I: Backend> core::fmt::Debug for Optimizer<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Optimizer").field("parameters", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<I: Backend> Optimizer<I> {
    /// An optimiser that has seen nothing.
    pub fn new(options: AdamWOptions) -> Self {
        let adamw = AdamWConfig::new()
            .with_beta_1(options.beta_1)
            .with_beta_2(options.beta_2)
            .with_epsilon(options.eps)
            .with_weight_decay(options.weight_decay)
            .build();
        Self { adamw, slots: BTreeMap::new() }
    }

    /// Makes a step: every parameter that has a gradient moves, the others stay. `prefix` stands before the paths.
    ///
    /// # Errors
    /// [`ParameterError`], when the module takes no parameter of its own shape.
    pub fn step<B>(
        &mut self,
        learning_rate: f64,
        prefix: &str,
        module: &mut (impl Parameters<B> + ?Sized),
        gradients: &Gradients<I>,
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        module.map_parameters(&mut |path, value| {
            let path = format!("{prefix}{path}");
            match gradients.get(&path) {
                Some(gradient) => self.update(learning_rate, path, value, gradient.clone()),
                None => value,
            }
        })
    }

    fn update<B>(
        &mut self,
        learning_rate: f64,
        path: String,
        value: AnyTensor<B>,
        gradient: Tensor<I, 1>,
    ) -> AnyTensor<B>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let (shape, dtype) = (value.shape(), value.dtype());
        let (state, master) = match self.slots.remove(&path) {
            Some(Slot { time, moment_1, moment_2, master }) => (
                Some(AdamWState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))),
                master,
            ),
            None => (None, None),
        };
        let working = || value.inner().cast(FloatDType::F32).flatten();
        let weight = master.unwrap_or_else(working);
        let (weight, state) = self.adamw.step(learning_rate, weight, gradient, state);
        if let Some(AdamWState { momentum }) = state {
            let AdaptiveMomentumState { time, moment_1, moment_2, .. } = momentum;
            let master = (dtype != DType::F32).then(|| weight.clone());
            self.slots.insert(path, Slot { time, moment_1, moment_2, master });
        }
        let working = AnyTensor::from_flat(weight, &shape);
        AnyTensor::from_inner(match FloatDType::from(dtype) {
            FloatDType::F32 => working,
            other => working.cast(other),
        })
    }

    pub(crate) fn slots(&self) -> &BTreeMap<String, Slot<I>> {
        &self.slots
    }

    pub(crate) fn restore(&mut self, slots: BTreeMap<String, Slot<I>>) {
        self.slots = slots;
    }
}
