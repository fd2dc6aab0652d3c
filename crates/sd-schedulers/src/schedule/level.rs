//! One noise level, and what a model's output means at it.

use crate::{
    combination::{Combination, Value},
    names::named_enum,
};

named_enum! {
    /// What the model predicts.
    pub enum PredictionType ("prediction type") {
        /// The noise in the sample.
        Epsilon = "epsilon",
        /// The clean sample.
        Sample = "sample",
        /// The velocity `sqrt(alpha_cumprod) noise - sqrt(1 - alpha_cumprod) x_0` (<https://arxiv.org/abs/2202.00512>).
        VPrediction = "v_prediction",
        /// The velocity `noise - x_0` of flow matching (<https://arxiv.org/abs/2210.02747>).
        FlowPrediction = "flow_prediction",
    }
}

/// A noise level: samples at it are `signal * x_0 + noise * epsilon`, with `epsilon` of unit variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLevel {
    /// Factor of the clean sample.
    pub signal: f64,
    /// Factor of the noise.
    pub noise: f64,
}

impl NoiseLevel {
    /// No noise at all.
    pub const CLEAN: Self = Self { signal: 1.0, noise: 0.0 };

    /// Signal and noise whose variances add up to one (DDPM, DDIM, PNDM).
    pub fn variance_preserving(alpha_cumprod: f64) -> Self {
        Self { signal: alpha_cumprod.sqrt(), noise: (1.0 - alpha_cumprod).sqrt() }
    }

    /// The clean sample plus `sigma` times noise (k-diffusion).
    pub fn variance_exploding(sigma: f64) -> Self {
        Self { signal: 1.0, noise: sigma }
    }

    /// The level with this noise-to-signal ratio whose variances add up to one (DPM-Solver).
    pub fn variance_preserving_sigma(sigma: f64) -> Self {
        let signal = 1.0 / (sigma * sigma + 1.0).sqrt();
        Self { signal, noise: sigma * signal }
    }

    /// The straight way between clean sample and noise (flow matching): `(1 - sigma) x_0 + sigma noise`.
    pub fn flow(sigma: f64) -> Self {
        Self { signal: 1.0 - sigma, noise: sigma }
    }

    /// Noise-to-signal ratio.
    pub fn sigma(self) -> f64 {
        self.noise / self.signal
    }

    /// The factor that brings a sample at this level to unit variance, as models want it.
    pub fn input_scale(self) -> f64 {
        1.0 / self.signal.hypot(self.noise)
    }

    /// The clean sample, from sample and model output.
    pub fn denoised(self, prediction: PredictionType) -> Combination {
        let Self { signal, noise } = self;
        let scale = self.input_scale();
        match prediction {
            PredictionType::Epsilon => {
                (1.0 / signal) * Value::Sample - (noise / signal) * Value::Output
            }
            PredictionType::Sample => 1.0 * Value::Output,
            PredictionType::VPrediction => {
                (signal * scale * scale) * Value::Sample - (noise * scale) * Value::Output
            }
            PredictionType::FlowPrediction => {
                (1.0 / (signal + noise)) * (1.0 * Value::Sample - noise * Value::Output)
            }
        }
    }

    /// The noise, from sample and model output.
    pub fn epsilon(self, prediction: PredictionType) -> Combination {
        let Self { signal, noise } = self;
        let scale = self.input_scale();
        match prediction {
            PredictionType::Epsilon => 1.0 * Value::Output,
            PredictionType::Sample => {
                (1.0 / noise) * Value::Sample - (signal / noise) * Value::Output
            }
            PredictionType::VPrediction => {
                (noise * scale * scale) * Value::Sample + (signal * scale) * Value::Output
            }
            PredictionType::FlowPrediction => {
                (1.0 / (signal + noise)) * (1.0 * Value::Sample + signal * Value::Output)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(combination: &Combination, sample: f64, output: f64) -> f64 {
        combination
            .terms()
            .iter()
            .map(|term| {
                term.coefficient * if term.value == Value::Sample { sample } else { output }
            })
            .sum()
    }

    // A model that knows the answer: each kind of output has to lead back to the same clean sample and noise.
    #[test]
    fn predictions_are_inverted_at_every_kind_of_level() {
        let (clean, epsilon) = (0.7, -1.3);
        for level in [
            NoiseLevel::variance_preserving(0.3),
            NoiseLevel::variance_exploding(4.2),
            NoiseLevel::variance_preserving_sigma(4.2),
            NoiseLevel::flow(0.3),
        ] {
            let sample = level.signal * clean + level.noise * epsilon;
            let scale = level.input_scale();
            let velocity = scale * (level.signal * epsilon - level.noise * clean);
            for (prediction, output) in [
                (PredictionType::Epsilon, epsilon),
                (PredictionType::Sample, clean),
                (PredictionType::VPrediction, velocity),
                (PredictionType::FlowPrediction, epsilon - clean),
            ] {
                assert!(
                    (evaluate(&level.denoised(prediction), sample, output) - clean).abs() < 1e-12
                );
                assert!(
                    (evaluate(&level.epsilon(prediction), sample, output) - epsilon).abs() < 1e-12
                );
            }
        }
    }
}
