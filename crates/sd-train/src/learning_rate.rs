//! How the learning rate goes.

use serde::{Deserialize, Serialize};

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decay {
    /// Nothing: it stays.
    #[default]
    Constant,
    /// Half a cosine, to zero at the last step.
    Cosine,
}

/// A learning rate for every step: a linear warm-up, then what [`Decay`] says. Agrees with diffusers' `get_scheduler`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// After the warm-up.
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup: usize,
    /// What follows.
    pub decay: Decay,
    /// Steps of the run.
    pub steps: usize,
}

impl LearningRate {
    /// The rate of a step, which counts from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup.max(1) as f64;
        }
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Cosine => {
                let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
                let progress = ((step - self.warmup) as f64 / span).min(1.0);
                self.peak * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // diffusers.optimization.get_scheduler("cosine", …, num_warmup_steps=10, num_training_steps=110)
    #[test]
    fn warms_up_and_decays() {
        let rate = LearningRate { peak: 1e-3, warmup: 10, decay: Decay::Cosine, steps: 110 };
        let close = |step, expected: f64| assert!((rate.at(step) - expected).abs() < 1e-12);
        close(0, 0.0);
        close(5, 5e-4);
        close(10, 1e-3);
        close(60, 5e-4);
        close(110, 0.0);
        let constant = LearningRate { decay: Decay::Constant, ..rate };
        assert_eq!(constant.at(1000), 1e-3);
    }
}
