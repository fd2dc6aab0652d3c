//! Noise of a Brownian motion, for samplers of stochastic equations.

use std::fmt;

/// Noise that belongs to an interval of sigmas, so that runs of other step counts see the same path.
///
/// Samplers of stochastic equations name the interval of each draw ([`Update::interval`](crate::Update::interval)). A run
/// that was given such a source ([`Run::with_interval_noise`](crate::Run::with_interval_noise)) takes the noise from it,
/// any other draws fresh noise from its generator. [`BrownianNoise`](crate::rng::BrownianNoise) is one.
pub trait IntervalNoise: fmt::Debug + Send + Sync {
    /// Unit-variance noise of all latents for the way from one sigma to another, the same whenever it is asked for.
    fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32>;
}
