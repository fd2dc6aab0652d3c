//! Steps of a training run.

use burn::tensor::{FloatDType, Tensor, backend::Backend};
use sd_kernels::TrainBackend;
use serde::{Deserialize, Serialize};

use crate::{
    AdamWOptions, Decay, Draws, Ema, Epochs, Gradients, LearningRate, Optimizer, TrainError,
    TrainedWeights,
    task::{Losses, Share, Task},
};

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Steps of the optimiser. Default: 1000.
    pub steps: u64,
    /// Examples of each backward pass. Default: 8.
    pub batch: usize,
    /// Backward passes of each step. Default: 1.
    pub accumulate: usize,
    /// Learning rate after the warm-up. Default: 1e-4.
    pub learning_rate: f64,
    /// Steps until it is reached. Default: 0.
    pub warmup: usize,
    /// What follows. Default: it stays.
    pub decay: Decay,
    /// Norm of all gradients together above which they are made smaller. 0 means never. Default: 1.
    pub clip_norm: f64,
    /// Share of the old average that stays in the moving average of the weights in each step; 0 means no average. Default: 0.
    pub ema_decay: f64,
    /// Constants of AdamW. Default: PyTorch's.
    pub adamw: AdamWOptions,
    /// What everything random follows from. Default: 0.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 8,
            accumulate: 1,
            learning_rate: 1e-4,
            warmup: 0,
            decay: Decay::Constant,
            clip_norm: 1.0,
            ema_decay: 0.0,
            adamw: AdamWOptions::default(),
            seed: 0,
        }
    }
}

/// A step's figures, still on the device: reading them waits for it.
#[derive(Debug, Clone)]
pub struct StepReport<I: Backend> {
    /// The step, from 0.
    pub step: u64,
    /// Its learning rate.
    pub learning_rate: f64,
    total: Tensor<I, 1>,
    terms: Vec<(&'static str, Tensor<I, 1>)>,
    norm: Option<Tensor<I, 1>>,
}

impl<I: Backend> StepReport<I> {
    /// The loss.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when it is no number.
    pub fn loss(&self) -> Result<f32, TrainError> {
        self.finite("loss", &self.total)
    }

    /// Whether the step left weights that are numbers: those of its loss and of the norm of its gradients are.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when they are not.
    pub fn check(&self) -> Result<(), TrainError> {
        self.loss()?;
        match &self.norm {
            Some(norm) => self.finite("norm of the gradients", norm).map(drop),
            None => Ok(()),
        }
    }

    fn finite(&self, what: &'static str, value: &Tensor<I, 1>) -> Result<f32, TrainError> {
        let value = number(value);
        match value.is_finite() {
            true => Ok(value),
            false => Err(TrainError::NotFinite { what, value, step: self.step }),
        }
    }

    /// The terms of the loss by name, and the norm of the gradients as `gradient`.
    pub fn terms(&self) -> Vec<(&'static str, f32)> {
        let norm = self.norm.iter().map(|norm| ("gradient", norm));
        let terms = self.terms.iter().map(|(name, term)| (*name, term));
        terms.chain(norm).map(|(name, value)| (name, number(value))).collect()
    }
}

fn number<I: Backend>(value: &Tensor<I, 1>) -> f32 {
    value.to_data().iter::<f32>().next().unwrap_or(f32::NAN)
}

/// A task with everything that goes from step to step.
#[derive(Debug)]
pub struct Trainer<B: TrainBackend, T> {
    pub(crate) task: T,
    pub(crate) options: TrainOptions,
    pub(crate) optimizer: Optimizer<B::InnerBackend>,
    pub(crate) ema: Option<Ema<B::InnerBackend>>,
    pub(crate) step: u64,
    epochs: Epochs,
}

impl<B: TrainBackend, T: Task<B>> Trainer<B, T> {
    /// A run that has not begun.
    pub fn new(task: T, options: TrainOptions) -> Self {
        let optimizer = Optimizer::new(options.adamw);
        let ema = (options.ema_decay > 0.0).then(|| Ema::new(options.ema_decay));
        let epochs = Epochs::new(Draws::new(options.seed), task.examples());
        Self { task, options, optimizer, ema, step: 0, epochs }
    }

    /// What is trained.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// The weights to show and to keep: the moving averages, if they are made, or else those of the optimiser.
    pub fn trained(&self) -> TrainedWeights<'_, B::InnerBackend> {
        let rows = match &self.ema {
            Some(ema) => ema.rows().iter().collect(),
            None => self.optimizer.weights().collect(),
        };
        TrainedWeights { rows }
    }

    /// Steps made.
    pub fn step_index(&self) -> u64 {
        self.step
    }

    /// How the run goes.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Makes a step.
    ///
    /// # Errors
    /// When the data cannot be read, or a model refuses it: nothing has changed then. When a model takes no parameter of its
    /// own shape: some parameters have moved then and others not, and only a saved state leads on.
    pub fn step(&mut self) -> Result<StepReport<B::InnerBackend>, TrainError> {
        let Passes { gradients, sums } = self.backward()?;
        let limit = self.options.clip_norm;
        let (gradients, norm) = match limit > 0.0 {
            true => gradients.clip_norm(limit),
            false => {
                let norm = gradients.norm();
                (gradients, norm)
            }
        };
        let learning_rate = self.learning_rate().at(self.step as usize);
        self.optimizer.step::<B>(learning_rate, self.task.parts_mut(), &gradients)?;
        if let Some(ema) = &mut self.ema {
            ema.take(&self.optimizer);
        }
        let report = StepReport {
            step: self.step,
            learning_rate,
            total: sums.total,
            terms: sums.terms,
            norm,
        };
        self.step += 1;
        Ok(report)
    }

    /// The mean gradients and losses of the passes of a step.
    fn backward(&mut self) -> Result<Passes<B::InnerBackend>, TrainError> {
        let count = self.options.accumulate.max(1);
        let share = 1.0 / count as f64;
        let mut sum = self.pass(0, share)?;
        for pass in 1..count {
            let Passes { gradients, sums } = self.pass(pass, share)?;
            sum = Passes { gradients: sum.gradients.plus(gradients), sums: sum.sums.plus(sums) };
        }
        Ok(Passes { gradients: sum.gradients.scale(share), sums: sum.sums })
    }

    /// The gradients of a pass, and its part in the losses of the step.
    fn pass(&mut self, pass: usize, share: f64) -> Result<Passes<B::InnerBackend>, TrainError> {
        let draws = self.share(pass);
        let Losses { total, terms } = self.task.losses(draws)?;
        let part = |value: &Tensor<B, 1>| detached::<B>(value) * share;
        let terms = terms.iter().map(|(name, term)| (*name, part(term))).collect();
        let sums = Sums { total: part(&total), terms };
        let gradients = Gradients::of::<B>(&self.task.parts(), &total.backward());
        Ok(Passes { gradients, sums })
    }

    fn share(&mut self, pass: usize) -> Share {
        let draws = Draws::new(self.options.seed);
        let index = self.step * self.options.accumulate.max(1) as u64 + pass as u64;
        let batch = self.options.batch as u64;
        Share {
            step: self.step,
            examples: self.epochs.examples(index * batch..(index + 1) * batch),
            choices: draws.choices(index),
            noise: draws.noise(index),
        }
    }

    fn learning_rate(&self) -> LearningRate {
        LearningRate {
            peak: self.options.learning_rate,
            warmup: self.options.warmup,
            decay: self.options.decay,
            steps: self.options.steps as usize,
        }
    }
}

fn detached<B: TrainBackend>(value: &Tensor<B, 1>) -> Tensor<B::InnerBackend, 1> {
    value.clone().inner().cast(FloatDType::F32)
}

/// What one pass of a step gives, or all of them.
struct Passes<I: Backend> {
    gradients: Gradients<I>,
    sums: Sums<I>,
}

/// Losses without their history.
struct Sums<I: Backend> {
    total: Tensor<I, 1>,
    terms: Vec<(&'static str, Tensor<I, 1>)>,
}

impl<I: Backend> Sums<I> {
    fn plus(self, other: Self) -> Self {
        let terms = self.terms.into_iter().zip(other.terms);
        Self {
            total: self.total + other.total,
            terms: terms.map(|((name, a), (_, b))| (name, a + b)).collect(),
        }
    }
}
