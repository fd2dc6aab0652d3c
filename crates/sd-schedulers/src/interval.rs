//! Noise of a Brownian motion, for samplers of stochastic equations.

use std::fmt;

/// Noise that belongs to an interval of sigmas, so that runs of other step counts see the same path.
///
/// Samplers of stochastic equations name the interval of each draw ([`Update::interval`](crate::Update::interval)). A run
/// that was given such a source ([`Run::with_interval_noise`](crate::Run::with_interval_noise)) takes the noise from it,
/// any other draws fresh noise from its generator. A Brownian tree is one:
///
/// ```
/// use sd_schedulers::IntervalNoise;
///
/// #[derive(Debug)]
/// struct Tree;
///
/// impl Tree {
///     fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
///         // the increment between the two, over the root of their distance
/// #       vec![(sigma - sigma_next) as f32; 4]
///     }
/// }
///
/// impl IntervalNoise for Tree {
///     fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
///         Tree::noise(self, sigma, sigma_next)
///     }
/// }
/// ```
pub trait IntervalNoise: fmt::Debug + Send + Sync {
    /// Unit-variance noise of all latents for the way from one sigma to another, the same whenever it is asked for.
    fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32>;
}
