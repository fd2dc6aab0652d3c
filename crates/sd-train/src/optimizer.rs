//! AdamW over parameters by path.

use std::{collections::BTreeMap, mem};

use burn::tensor::{DType, FloatDType, Tensor, backend::AutodiffBackend};
use burn_optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{AnyTensor, ParameterError, Parameters};
use serde::{Deserialize, Serialize};

use crate::{
    Gradients,
    row::{Layout, Row},
    task::prefix,
};

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
/// It keeps the weights that it moves, in f32: those in the models follow them, rounded where they are of 16 bits. What changes
/// them in the models behind its back is lost with the next step.
#[derive(Clone)]
pub struct Optimizer<I: DiffusionBackend> {
    adamw: AdamW,
    groups: Vec<Group<I>>,
}

/// Parameters that made the same steps.
#[derive(Clone)]
pub(crate) struct Group<I: DiffusionBackend> {
    weights: Row<I>,
    /// None before the first step.
    state: Option<AdamWState<I, 1>>,
}

impl<I: DiffusionBackend> core::fmt::Debug for Optimizer<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let parameters = self.weights().flat_map(|row| row.layout().paths()).count();
        f.debug_struct("Optimizer").field("parameters", &parameters).finish_non_exhaustive()
    }
}

impl<I: DiffusionBackend> Optimizer<I> {
    /// An optimiser that has seen nothing.
    pub fn new(options: AdamWOptions) -> Self {
        let adamw = AdamWConfig::new()
            .with_beta_1(options.beta_1)
            .with_beta_2(options.beta_2)
            .with_epsilon(options.eps)
            .with_weight_decay(options.weight_decay)
            .build();
        Self { adamw, groups: Vec::new() }
    }

    /// Makes a step: every parameter that has a gradient moves, the others stay. Names of parts stand before the paths.
    ///
    /// # Errors
    /// [`ParameterError`], when a part takes no parameter of its own shape.
    pub fn step<B>(
        &mut self,
        learning_rate: f64,
        parts: Vec<(&str, &mut dyn Parameters<B>)>,
        gradients: &Gradients<I>,
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let Some(row) = gradients.row() else { return Ok(()) };
        let shared: Vec<(&str, &dyn Parameters<B>)> =
            parts.iter().map(|(name, part)| (*name, &**part)).collect();
        self.take_in::<B>(&shared);
        self.arrange(row.layout());
        let groups = mem::take(&mut self.groups).into_iter();
        self.groups = groups
            .map(|group| match row.select(group.weights.layout()) {
                Some(gradient) => group.stepped(&self.adamw, learning_rate, gradient),
                None => group,
            })
            .collect();
        self.write(parts, |path| row.layout().has(path))
    }

    /// Takes in the weights that it does not keep yet.
    pub(crate) fn take_in<B>(&mut self, parts: &[(&str, &dyn Parameters<B>)])
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let mut new = BTreeMap::new();
        for (name, part) in parts {
            part.visit_parameters(&mut |view| {
                let path = format!("{}{}", prefix(name), view.path());
                if !self.weights().any(|weights| weights.layout().has(&path)) {
                    new.insert(path, view.tensor().inner());
                }
            });
        }
        self.groups.extend(Row::gather(new).map(|weights| Group { weights, state: None }));
    }

    /// Brings the groups to where each moves as a whole or not at all.
    fn arrange(&mut self, moving: &Layout) {
        if !self.weights().any(|weights| weights.layout() == moving) {
            let groups = mem::take(&mut self.groups).into_iter();
            self.groups = groups.flat_map(|group| group.split(moving)).collect();
        }
    }

    /// What `change` makes of the weights.
    pub(crate) fn exchange<E>(
        &mut self,
        mut change: impl FnMut(Tensor<I, 1>) -> Result<Tensor<I, 1>, E>,
    ) -> Result<(), E> {
        for group in &mut self.groups {
            group.weights = group.weights.with(change(group.weights.values().clone())?);
        }
        Ok(())
    }

    /// Puts the weights that have `moved` into the parts.
    pub(crate) fn write<B>(
        &self,
        parts: Vec<(&str, &mut dyn Parameters<B>)>,
        moved: impl Fn(&str) -> bool,
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let mut cast = Cast { rows: self.weights().collect(), cast: Vec::new() };
        for (name, part) in parts {
            part.map_parameters(&mut |path, value| {
                let path = format!("{}{path}", prefix(name));
                let weight = moved(&path).then(|| cast.get(&path, value.dtype())).flatten();
                match weight {
                    Some(weight) => {
                        AnyTensor::from_inner(AnyTensor::from_flat(weight, &value.shape()))
                    }
                    None => value,
                }
            })?;
        }
        Ok(())
    }

    /// The weights, in f32.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &Row<I>> {
        self.groups.iter().map(|group| &group.weights)
    }

    pub(crate) fn groups(&self) -> &[Group<I>] {
        &self.groups
    }

    pub(crate) fn restore(&mut self, groups: Vec<Group<I>>) {
        self.groups = groups;
    }
}

impl<I: DiffusionBackend> Group<I> {
    /// Weights that have made as many steps, with the means of their gradients and of the squares.
    pub(crate) fn new(weights: Row<I>, moments: Option<(usize, [Row<I>; 2])>) -> Self {
        let state = moments.map(|(time, moments)| {
            let [moment_1, moment_2] = moments.map(Row::into_values);
            AdamWState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))
        });
        Self { weights, state }
    }

    fn stepped(self, adamw: &AdamW, learning_rate: f64, gradient: Row<I>) -> Self {
        let mut state = self.state;
        let weights = self.weights.map(|weights| {
            let (weights, next) =
                adamw.step(learning_rate, weights, gradient.into_values(), state.take());
            state = next;
            weights
        });
        Self { weights, state }
    }

    /// Those of its parameters that move, and the others.
    fn split(self, moving: &Layout) -> Vec<Self> {
        let halves = self.weights.layout().partition(|path| moving.has(path));
        match halves.iter().any(Layout::is_empty) {
            true => vec![self],
            false => halves.iter().filter_map(|layout| self.select(layout)).collect(),
        }
    }

    fn select(&self, layout: &Layout) -> Option<Self> {
        let select = |row: Row<I>| row.select(layout);
        let moments = self.moments().and_then(|(time, [moment_1, moment_2])| {
            Some((time, [select(moment_1)?, select(moment_2)?]))
        });
        Some(Self::new(self.weights.select(layout)?, moments))
    }

    /// Steps made, the mean of the gradients, and the mean of their squares. `None` before the first step.
    pub(crate) fn moments(&self) -> Option<(usize, [Row<I>; 2])> {
        let momentum = &self.state.as_ref()?.momentum;
        let moments = [&momentum.moment_1, &momentum.moment_2];
        Some((momentum.time, moments.map(|moment| self.weights.with(moment.clone()))))
    }

    pub(crate) fn weights(&self) -> &Row<I> {
        &self.weights
    }
}

/// Rows in the types that models have, each cast once.
struct Cast<'a, I: DiffusionBackend> {
    rows: Vec<&'a Row<I>>,
    cast: Vec<(DType, Vec<Row<I>>)>,
}

impl<I: DiffusionBackend> Cast<'_, I> {
    fn get(&mut self, path: &str, dtype: DType) -> Option<Tensor<I, 1>> {
        let index = match self.cast.iter().position(|(known, _)| *known == dtype) {
            Some(index) => index,
            None => {
                let cast = |row: &&Row<I>| {
                    (*row).clone().map(|values| values.cast(FloatDType::from(dtype)))
                };
                self.cast.push((dtype, self.rows.iter().map(cast).collect()));
                self.cast.len() - 1
            }
        };
        self.cast[index].1.iter().find_map(|row| row.get(path))
    }
}
