//! The integrals that the updates consist of.

use crate::{combination::Combination, names::named_enum, schedule::NoiseLevel};

named_enum! {
    /// What is taken as a polynomial between the steps, and whether fresh noise is added.
    pub enum Algorithm ("algorithm type") {
        /// The predicted noise (DPM-Solver).
        Noise = "dpmsolver",
        /// The predicted clean latents (DPM-Solver++).
        PlusPlus = "dpmsolver++",
        /// The predicted noise, in the stochastic equation.
        SdeNoise = "sde-dpmsolver",
        /// The predicted clean latents, in the stochastic equation.
        SdePlusPlus = "sde-dpmsolver++",
    }
}

named_enum! {
    /// The form of the second-order correction.
    pub enum SolverType ("solver type") {
        /// By the midpoint rule.
        Midpoint = "midpoint",
        /// By Heun's rule.
        Heun = "heun",
    }
}

impl Algorithm {
    /// Whether the value between the steps is the noise.
    pub fn predicts_noise(self) -> bool {
        matches!(self, Self::Noise | Self::SdeNoise)
    }

    /// Whether fresh noise is added.
    pub fn is_stochastic(self) -> bool {
        matches!(self, Self::SdeNoise | Self::SdePlusPlus)
    }
}

/// Weights of one update: `sample` of the latents at the beginning, `value` of the value there, `midpoint` or `slope` of
/// its first divided difference (over the step as unit), `curve` of the second, `noise` of fresh noise.
#[derive(Debug, Clone, Copy)]
pub(in crate::samplers) struct Weights {
    pub(in crate::samplers) sample: f64,
    pub(in crate::samplers) value: f64,
    pub(in crate::samplers) midpoint: f64,
    pub(in crate::samplers) slope: f64,
    pub(in crate::samplers) curve: f64,
    pub(in crate::samplers) noise: f64,
}

/// The weights of a step from one level to another. With `h` the step in log-SNR, `ratio` is `e^-h`.
pub(in crate::samplers) fn weights(
    algorithm: Algorithm,
    from: NoiseLevel,
    to: NoiseLevel,
) -> Weights {
    let ratio = to.sigma() / from.sigma();
    let h = -ratio.ln();
    let (signal, noise) = (to.signal, to.noise);
    let (rest, signals) = (noise / from.noise, signal / from.signal);
    // noise * (e^h - 1), finite down to zero noise
    let grown = signal * from.sigma() - noise;
    match algorithm {
        Algorithm::PlusPlus => Weights {
            sample: rest,
            value: signal * (1.0 - ratio),
            midpoint: 0.5 * signal * (1.0 - ratio),
            slope: signal * ((ratio - 1.0) / h + 1.0),
            curve: -signal * ((ratio - 1.0 + h) / (h * h) - 0.5),
            noise: 0.0,
        },
        Algorithm::Noise => Weights {
            sample: signals,
            value: -grown,
            midpoint: -0.5 * grown,
            slope: noise - grown / h,
            curve: 0.5 * noise - (grown - noise * h) / (h * h),
            noise: 0.0,
        },
        Algorithm::SdePlusPlus => {
            let phi = 1.0 - ratio * ratio;
            Weights {
                sample: rest * ratio,
                value: signal * phi,
                midpoint: 0.5 * signal * phi,
                slope: signal * (1.0 - phi / (2.0 * h)),
                // as diffusers has it; with + 0.5 it would be of third order (see `DpmPlusPlus3MSde`)
                curve: signal * ((phi - 2.0 * h) / (4.0 * h * h) - 0.5),
                noise: noise * phi.sqrt(),
            }
        }
        Algorithm::SdeNoise => Weights {
            sample: signals,
            value: -2.0 * grown,
            midpoint: -grown,
            slope: 2.0 * (noise - grown / h),
            curve: f64::NAN,
            noise: ((grown + noise).powi(2) - noise * noise).max(0.0).sqrt(),
        },
    }
}

/// First and second divided differences of three values at 0, `-r0` and `-r0 - r1`, at the place 0.
pub(in crate::samplers) fn divided(
    values: [Combination; 3],
    r0: f64,
    r1: f64,
) -> (Combination, Combination) {
    let [newest, middle, oldest] = values;
    let late = (1.0 / r0) * (newest - middle.clone());
    let early = (1.0 / r1) * (middle - oldest);
    let change = (1.0 / (r0 + r1)) * (late.clone() - early);
    (late + r0 * change.clone(), change)
}
