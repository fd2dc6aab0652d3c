//! Weights of the timesteps.

use serde::{Deserialize, Serialize};

use super::Target;

/// How much each timestep counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Weighting {
    /// All alike.
    #[default]
    None,
    /// Less where there is little noise: the signal-to-noise ratio counts up to `gamma`
    /// (<https://arxiv.org/abs/2303.09556>).
    MinSnr {
        /// The paper takes 5.
        gamma: f64,
    },
}

impl Weighting {
    /// The weight of a timestep, from what is left of the signal's variance there.
    pub(super) fn of(self, alpha_cumprod: f64, target: Target) -> f64 {
        let Self::MinSnr { gamma } = self else { return 1.0 };
        // Zero-terminal-SNR schedules have no signal at their last step.
        let snr = alpha_cumprod / (1.0 - alpha_cumprod).max(1e-12);
        match target {
            Target::Velocity => snr.min(gamma) / (snr + 1.0),
            Target::Clean => snr.min(gamma),
            Target::Noise => (gamma / snr.max(1e-12)).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // diffusers' train_text_to_image.py, gamma = 5
    #[test]
    fn min_snr() {
        let weight = |alpha, target| Weighting::MinSnr { gamma: 5.0 }.of(alpha, target);
        assert_eq!(weight(0.5, Target::Noise), 1.0);
        assert!((weight(0.9, Target::Noise) - 5.0 / 9.0).abs() < 1e-12);
        assert!((weight(0.9, Target::Velocity) - 5.0 / 10.0).abs() < 1e-12);
        assert_eq!(weight(0.0, Target::Velocity), 0.0);
        assert!((weight(0.9, Target::Clean) - 5.0).abs() < 1e-12);
        assert_eq!(Weighting::None.of(0.9, Target::Noise), 1.0);
    }
}
