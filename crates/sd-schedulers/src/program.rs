//! What a sampler does, as data: evaluations of the model and linear updates between them.

use std::fmt;

use crate::{
    combination::{Combination, Value},
    schedule::{NoiseLevel, PredictionType},
};

/// One evaluation of the model that a solver asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// The timestep that the model is told.
    pub timestep: f64,
    /// The factor of the latents before they enter the model.
    pub input_scale: f64,
    /// How noisy the latents are: for adding noise to clean latents, and for previews.
    pub level: NoiseLevel,
}

/// A bound on the predicted clean latents, the one part of an update that is not linear.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Limit {
    /// None.
    #[default]
    None,
    /// Clamps to `-range..=range`.
    Clip {
        /// The greatest magnitude.
        range: f64,
    },
    /// Dynamic thresholding (<https://arxiv.org/abs/2205.11487>): clamps each image to its own quantile of magnitudes and
    /// divides by it. This one reads the latents back from the device.
    Dynamic {
        /// The quantile, from 0 to 1.
        ratio: f64,
        /// The greatest threshold; the least is 1.
        max_value: f64,
    },
}

/// What follows an evaluation. Every combination reads the values from before the update.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Update {
    /// The predicted clean latents, from `Sample`, `Output` and `Stored` values.
    pub denoised: Combination,
    /// The bound on them.
    pub limit: Limit,
    /// Values to keep for later updates, by slot.
    pub store: Vec<(usize, Combination)>,
    /// The next latents.
    pub next: Combination,
    /// The interval of sigmas over which the noise is that of a Brownian motion, for samplers of stochastic equations: what
    /// [`IntervalNoise`](crate::IntervalNoise) is asked for, if the run has one. Without it, noise is always fresh.
    pub interval: Option<(f64, f64)>,
    /// Whether this finishes a step, as the user counts steps.
    pub finishes_step: bool,
}

impl Update {
    /// Whether any of the combinations uses a value.
    pub fn uses(&self, value: Value) -> bool {
        let stored = self.store.iter().map(|(_, combination)| combination);
        stored.chain([&self.denoised, &self.next]).any(|combination| combination.uses(value))
    }
}

/// An evaluation and the update that follows it.
///
/// ```
/// use sd_schedulers::{NoiseLevel, PredictionType, Stage, Value::{Denoised, Sample}};
/// // one Euler step from sigma 2 to sigma 1
/// let stage = Stage::new(500.0, NoiseLevel::variance_exploding(2.0), PredictionType::Epsilon)
///     .next(0.5 * Sample + 0.5 * Denoised)
///     .finish_step();
/// assert_eq!(stage.update.denoised.terms()[1].coefficient, -2.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The evaluation.
    pub evaluation: Evaluation,
    /// The update.
    pub update: Update,
}

impl Stage {
    /// An evaluation at a noise level: the input is scaled to unit variance (not for flow matching, where models are trained
    /// without), and the clean latents follow from what the model predicts. The latents do not change until
    /// [`next`](Self::next) says how.
    pub fn new(timestep: f64, level: NoiseLevel, prediction: PredictionType) -> Self {
        let input_scale = match prediction {
            PredictionType::FlowPrediction => 1.0,
            _ => level.input_scale(),
        };
        Self {
            evaluation: Evaluation { timestep, input_scale, level },
            update: Update {
                denoised: level.denoised(prediction),
                next: 1.0 * Value::Sample,
                ..Update::default()
            },
        }
    }

    /// Sets the factor of the latents before they enter the model.
    pub fn input_scale(mut self, input_scale: f64) -> Self {
        self.evaluation.input_scale = input_scale;
        self
    }

    /// Sets how the clean latents follow from the model output.
    pub fn denoised(mut self, denoised: Combination) -> Self {
        self.update.denoised = denoised;
        self
    }

    /// Says over which sigmas the noise of this update is that of a Brownian motion. A step of no length, or down to zero,
    /// adds none, and has no interval.
    pub fn noise_between(mut self, sigma: f64, sigma_next: f64) -> Self {
        let is_step = 0.0 < sigma_next && sigma_next < sigma;
        self.update.interval = is_step.then_some((sigma, sigma_next));
        self
    }

    /// Bounds the predicted clean latents.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.update.limit = limit;
        self
    }

    /// Keeps a value in a slot.
    pub fn store(mut self, slot: usize, value: Combination) -> Self {
        self.update.store.push((slot, value));
        self
    }

    /// Puts a value in front of a history of `slots`, the newest first, of which `made` are filled already.
    pub fn remember(self, slots: &[usize], made: usize, value: Combination) -> Self {
        let Some(&newest) = slots.first() else { return self };
        let older = slots.windows(2).take(made);
        older.fold(self.store(newest, value), |stage, pair| {
            stage.store(pair[1], 1.0 * Value::Stored(pair[0]))
        })
    }

    /// Sets the next latents.
    pub fn next(mut self, next: Combination) -> Self {
        self.update.next = next;
        self
    }

    /// Marks the end of a step, as the user counts steps.
    pub fn finish_step(mut self) -> Self {
        self.update.finishes_step = true;
        self
    }
}

/// The state of one run: which evaluation comes next, and how to go on after it.
///
/// A solver knows no tensors: it gives coefficients. Most samplers know them all in advance and are a [`Program`]; one
/// whose steps depend on earlier ones implements this trait and goes through
/// [`Plan::from_solver`](crate::Plan::from_solver).
pub trait Solver: fmt::Debug + Send + Sync {
    /// The evaluation that is due, `None` after the last.
    fn evaluation(&self) -> Option<Evaluation>;

    /// Goes past that evaluation and says what to do with its output, `None` after the last.
    fn advance(&mut self) -> Option<Update>;

    /// A copy with the same state.
    fn boxed_clone(&self) -> Box<dyn Solver>;
}

impl Clone for Box<dyn Solver> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A solver whose stages are known in advance.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    stages: std::sync::Arc<[Stage]>,
    position: usize,
}

impl Program {
    /// A program that runs these stages in order.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self { stages: stages.into(), position: 0 }
    }
}

impl Solver for Program {
    fn evaluation(&self) -> Option<Evaluation> {
        self.stages.get(self.position).map(|stage| stage.evaluation)
    }

    fn advance(&mut self) -> Option<Update> {
        let update = self.stages.get(self.position)?.update.clone();
        self.position += 1;
        Some(update)
    }

    fn boxed_clone(&self) -> Box<dyn Solver> {
        Box::new(self.clone())
    }
}
