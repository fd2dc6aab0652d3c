//! Steps of a training run.

use burn::tensor::FloatDType;
use sd_kernels::TrainBackend;
use sd_nn::Precision;
use serde::{Deserialize, Serialize};

use crate::{
    AdamWOptions, Alone, BatchRows, Decay, Draws, Ema, Epochs, Gradients, LearningRate, Optimizer,
    Peers, StepReport, TrainError, TrainedWeights,
    passes::{Passes, Sums},
    precision,
    task::{Share, Task},
};

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Steps of the optimiser. Default: 1000.
    pub steps: u64,
    /// Examples of each backward pass, over all peers. Default: 8.
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

/// A task with everything that goes from step to step.
#[derive(Debug)]
pub struct Trainer<B: TrainBackend, T> {
    pub(crate) task: T,
    pub(crate) options: TrainOptions,
    pub(crate) optimizer: Optimizer<B::InnerBackend>,
    pub(crate) ema: Option<Ema<B::InnerBackend>>,
    pub(crate) step: u64,
    epochs: Epochs,
    peers: Box<dyn Peers<B::InnerBackend>>,
    rows: BatchRows,
}

impl<B: TrainBackend, T: Task<B>> Trainer<B, T> {
    /// A run that has not begun.
    pub fn new(task: T, options: TrainOptions) -> Self {
        let rows = BatchRows { own: options.batch, ..BatchRows::default() };
        Self::of_rows(task, options, Box::new(Alone), rows)
    }

    /// The part of one peer in a run that has not begun. The others have the same options and tasks of the same kind; see
    /// [`agree`](Self::agree).
    ///
    /// # Errors
    /// [`TrainError::Batch`] when the batch cannot be shared evenly.
    pub fn with_peers(
        task: T,
        options: TrainOptions,
        peers: Box<dyn Peers<B::InnerBackend>>,
    ) -> Result<Self, TrainError> {
        let rows = BatchRows::of_peer(peers.index(), peers.count(), options.batch)?;
        Ok(Self::of_rows(task, options, peers, rows))
    }

    fn of_rows(
        task: T,
        options: TrainOptions,
        peers: Box<dyn Peers<B::InnerBackend>>,
        rows: BatchRows,
    ) -> Self {
        let mut optimizer = Optimizer::new(options.adamw);
        optimizer.take_in::<B>(&task.parts());
        let ema = (options.ema_decay > 0.0).then(|| Ema::new(options.ema_decay));
        let epochs = Epochs::new(Draws::new(options.seed), task.examples());
        Self { task, options, optimizer, ema, step: 0, epochs, peers, rows }
    }

    /// Makes the models compute in a precision. The optimiser keeps their weights in f32.
    ///
    /// # Errors
    /// [`TrainError::HalfPrecision`] for f16, [`TrainError::Precision`] for what the device does not compute in.
    pub fn compute_in(&mut self, precision: Precision) -> Result<(), TrainError> {
        precision::check::<B::InnerBackend>(precision, &self.device())?;
        let dtype = FloatDType::from(precision.dtype());
        for (_, part) in self.task.parts_mut() {
            part.map_parameters(&mut |_, value| value.cast(dtype))?;
        }
        Ok(())
    }

    /// Gives every peer the weights of the first. Replicas of models that begin from scratch are not alike until then.
    ///
    /// # Errors
    /// When a peer is gone.
    pub fn agree(&mut self) -> Result<(), TrainError> {
        if self.peers.count() > 1 {
            let first = self.peers.index() == 0;
            self.optimizer.exchange(|weights| {
                self.peers.sum(if first { weights } else { weights.zeros_like() })
            })?;
            self.optimizer.write::<B>(self.task.parts_mut(), |_| true)?;
        }
        Ok(())
    }

    /// What is trained.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// The weights to show and to keep: the moving averages, if they are made, or else those of the optimiser.
    pub fn trained(&self) -> TrainedWeights<'_, B::InnerBackend> {
        let rows = match &self.ema {
            Some(ema) if ema.steps() > 0 => ema.rows().iter().collect(),
            _ => self.optimizer.weights().collect(),
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
        let report = StepReport { step: self.step, learning_rate, sums, norm };
        self.step += 1;
        Ok(report)
    }

    /// The mean gradients and losses of the passes of a step.
    fn backward(&mut self) -> Result<Passes<B::InnerBackend>, TrainError> {
        let count = self.options.accumulate.max(1);
        let share = 1.0 / count as f64;
        let mut sum = self.pass(0, share)?;
        for pass in 1..count {
            sum = sum.plus(self.pass(pass, share)?);
        }
        let Passes { gradients, sums } = sum;
        Passes { gradients: gradients.scale(share), sums }.mean(self.peers.as_ref())
    }

    /// The gradients of a pass, and its part in the losses of the step.
    fn pass(&mut self, pass: usize, part: f64) -> Result<Passes<B::InnerBackend>, TrainError> {
        let index = self.step * self.options.accumulate.max(1) as u64 + pass as u64;
        let share = self.share(index);
        let losses = self.task.losses(share)?;
        self.prepare(index + 1);
        let sums = Sums::of(&losses, part);
        let gradients = Gradients::of::<B>(&self.task.parts(), &losses.total.backward());
        Ok(Passes { gradients, sums })
    }

    /// The share of a pass, counted over all steps.
    fn share(&mut self, index: u64) -> Share {
        let draws = Draws::new(self.options.seed);
        Share {
            step: self.step,
            examples: self.examples(index),
            choices: draws.choices(index, self.rows),
            noise: self.rows.noise(draws.noise(index)),
        }
    }

    /// Lets the task read the examples of a pass that is to come, if there is one.
    fn prepare(&mut self, index: u64) {
        if index < self.options.steps * self.options.accumulate.max(1) as u64 {
            let examples = self.examples(index);
            let choices = Draws::new(self.options.seed).choices(index, self.rows);
            self.task.prepare(&examples, choices);
        }
    }

    fn examples(&mut self, index: u64) -> Vec<usize> {
        let first = index * self.options.batch as u64 + self.rows.before as u64;
        self.epochs.examples(first..first + self.rows.own as u64)
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
