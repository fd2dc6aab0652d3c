//! AdamW over parameters by path.

use std::{collections::BTreeMap, mem};

use burn::tensor::{
    DType, FloatDType, Tensor,
    backend::{AutodiffBackend, Backend},
};
use burn_optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
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
pub struct Optimizer<I: Backend> {
    adamw: AdamW,
    groups: Vec<Group<I>>,
}

/// Parameters that made the same steps.
#[derive(Clone)]
pub(crate) struct Group<I: Backend> {
    weights: Row<I>,
    /// None before the first step.
    state: Option<AdamWState<I, 1>>,
}

/// What is remembered of one parameter, in f32, as rows.
pub(crate) struct Slot<I: Backend> {
    /// Steps made.
    pub(crate) time: usize,
    /// Mean of the gradients.
    pub(crate) moment_1: Tensor<I, 1>,
    /// Mean of their squares.
    pub(crate) moment_2: Tensor<I, 1>,
    /// The weight.
    pub(crate) weight: Tensor<I, 1>,
}

impl<I: Backend> core::fmt::Debug for Optimizer<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let parameters = self.weights().flat_map(|row| row.layout().paths()).count();
        f.debug_struct("Optimizer").field("parameters", &parameters).finish_non_exhaustive()
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
        self.arrange(&parts, row.layout());
        let groups = mem::take(&mut self.groups).into_iter();
        self.groups = groups
            .map(|group| match row.select(group.weights.layout()) {
                Some(gradient) => group.stepped(&self.adamw, learning_rate, gradient),
                None => group,
            })
            .collect();
        self.write(parts, row.layout())
    }

    /// Brings the groups to where each moves as a whole or not at all, and takes in what moves for the first time.
    fn arrange<B>(&mut self, parts: &[(&str, &mut dyn Parameters<B>)], moving: &Layout)
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        if self.weights().any(|weights| weights.layout() == moving) {
            return;
        }
        let groups = mem::take(&mut self.groups).into_iter();
        self.groups = groups.flat_map(|group| group.split(moving)).collect();
        let mut new = BTreeMap::new();
        for (name, part) in parts {
            part.visit_parameters(&mut |view| {
                let path = format!("{}{}", prefix(name), view.path());
                if moving.has(&path) && !self.weights().any(|weights| weights.layout().has(&path)) {
                    new.insert(path, view.tensor().inner());
                }
            });
        }
        self.groups.extend(Row::gather(new).map(|weights| Group { weights, state: None }));
    }

    /// Puts what has moved into the parts.
    fn write<B>(
        &self,
        parts: Vec<(&str, &mut dyn Parameters<B>)>,
        moved: &Layout,
    ) -> Result<(), ParameterError>
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let mut cast = Cast { rows: self.weights().collect(), cast: Vec::new() };
        for (name, part) in parts {
            part.map_parameters(&mut |path, value| {
                let path = format!("{}{path}", prefix(name));
                let weight = moved.has(&path).then(|| cast.get(&path, value.dtype())).flatten();
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

    /// What is remembered of every parameter that has moved.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&str, Slot<I>)> {
        self.groups.iter().flat_map(Group::slots)
    }

    /// Takes what is remembered from elsewhere.
    pub(crate) fn restore(&mut self, slots: BTreeMap<String, Slot<I>>) {
        let mut times: BTreeMap<usize, BTreeMap<String, Slot<I>>> = BTreeMap::new();
        for (path, slot) in slots {
            times.entry(slot.time).or_default().insert(path, slot);
        }
        let groups = times.into_iter().filter_map(|(time, slots)| Group::restore(time, slots));
        self.groups = groups.collect();
    }
}

impl<I: Backend> Group<I> {
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
        let state = match self.moments() {
            Some((time, moments)) => {
                let [moment_1, moment_2] =
                    moments.map(|row| row.select(layout).map(Row::into_values));
                Some(state(time, moment_1?, moment_2?))
            }
            None => None,
        };
        Some(Self { weights: self.weights.select(layout)?, state })
    }

    fn moments(&self) -> Option<(usize, [Row<I>; 2])> {
        let momentum = &self.state.as_ref()?.momentum;
        let moments = [&momentum.moment_1, &momentum.moment_2];
        Some((momentum.time, moments.map(|moment| self.weights.with(moment.clone()))))
    }

    fn slots(&self) -> impl Iterator<Item = (&str, Slot<I>)> {
        let moments = self.moments();
        self.weights.layout().paths().filter_map(move |path| {
            let (time, [moment_1, moment_2]) = moments.as_ref()?;
            let (moment_1, moment_2) = (moment_1.get(path)?, moment_2.get(path)?);
            let weight = self.weights.get(path)?;
            Some((path, Slot { time: *time, moment_1, moment_2, weight }))
        })
    }

    fn restore(time: usize, slots: BTreeMap<String, Slot<I>>) -> Option<Self> {
        let row = |of: fn(&Slot<I>) -> &Tensor<I, 1>| {
            let tensors = slots.iter().map(|(path, slot)| (path.clone(), of(slot).clone().into()));
            Row::gather(tensors.collect())
        };
        let moment_1 = row(|slot| &slot.moment_1)?.into_values();
        let moment_2 = row(|slot| &slot.moment_2)?.into_values();
        let weights = row(|slot| &slot.weight)?;
        Some(Self { weights, state: Some(state(time, moment_1, moment_2)) })
    }
}

fn state<I: Backend>(
    time: usize,
    moment_1: Tensor<I, 1>,
    moment_2: Tensor<I, 1>,
) -> AdamWState<I, 1> {
    AdamWState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))
}

/// Rows in the types that models have, each cast once.
struct Cast<'a, I: Backend> {
    rows: Vec<&'a Row<I>>,
    cast: Vec<(DType, Vec<Row<I>>)>,
}

impl<I: Backend> Cast<'_, I> {
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
