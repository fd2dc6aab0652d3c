//! Betas and their cumulative products.

use crate::{
    config::{TrainingConfig, out_of_range},
    error::ConfigError,
    names::named_enum,
};

named_enum! {
    /// How the noise variances `beta` rise over the training steps.
    pub enum BetaSchedule ("beta schedule") {
        /// Evenly from `beta_start` to `beta_end` (DDPM, <https://arxiv.org/abs/2006.11239>).
        Linear = "linear",
        /// Squares of evenly spaced roots (latent diffusion, <https://arxiv.org/abs/2112.10752>).
        ScaledLinear = "scaled_linear",
        /// Cosine of the signal, betas capped at 0.999 (<https://arxiv.org/abs/2102.09672>).
        SquaredCosCapV2 = "squaredcos_cap_v2",
        /// A logistic curve from `beta_start` to `beta_end` (GeoDiff, <https://arxiv.org/abs/2203.02923>).
        Sigmoid = "sigmoid",
        /// Log-SNRs of the Laplace distribution, betas capped at 0.999 (<https://arxiv.org/abs/2407.03297>).
        Laplace = "laplace",
    }
}

impl BetaSchedule {
    /// The betas of `count` training steps.
    pub fn betas(self, beta_start: f64, beta_end: f64, count: usize) -> Vec<f32> {
        match self {
            Self::Linear => linspace_f32(beta_start as f32, beta_end as f32, count),
            Self::ScaledLinear => {
                let roots = linspace_f32(beta_start.sqrt() as f32, beta_end.sqrt() as f32, count);
                roots.into_iter().map(|root| root * root).collect()
            }
            Self::SquaredCosCapV2 => {
                let angle = |time: f64| (time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
                betas_of(count, |time| angle(time).cos().powi(2))
            }
            Self::Sigmoid => {
                let (range, start) = ((beta_end - beta_start) as f32, beta_start as f32);
                let logistic = |x: f32| 1.0 / (1.0 + (-x).exp());
                let places = linspace_f32(-6.0, 6.0, count);
                places.into_iter().map(|x| logistic(x) * range + start).collect()
            }
            Self::Laplace => betas_of(count, |time| {
                let from_middle = 0.5 - time;
                let log_snr =
                    -0.5 * 1f64.copysign(from_middle) * (1.0 - 2.0 * from_middle.abs() + 1e-6).ln();
                let snr = log_snr.exp();
                (snr / (1.0 + snr)).sqrt()
            }),
        }
    }
}

/// The betas that follow from the cumulative product as a function of time from 0 to 1.
fn betas_of(count: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |index: usize| alpha_bar(index as f64 / count as f64);
    (0..count).map(|index| (1.0 - at(index + 1) / at(index)).min(0.999) as f32).collect()
}

/// Evenly spaced numbers as `torch.linspace` has them: from both ends towards the middle, with fused multiply-adds.
fn linspace_f32(start: f32, stop: f32, count: usize) -> Vec<f32> {
    let step = (stop - start) / count.saturating_sub(1).max(1) as f32;
    let from_start = |index: usize| step.mul_add(index as f32, start);
    let from_stop = |index: usize| (-step).mul_add((count - 1 - index) as f32, stop);
    // A single number is the start, in torch too.
    (0..count)
        .map(
            |index| {
                if index < count / 2 || count == 1 { from_start(index) } else { from_stop(index) }
            },
        )
        .collect()
}

/// The noise levels of training: `x_t = sqrt(alpha_cumprod) x_0 + sqrt(1 - alpha_cumprod) noise`.
///
/// The table holds the numbers that models are trained with, which diffusers computes in f32: `1 - alpha_cumprod` of the
/// first timestep has 4 digits. All that is computed from it is f64.
#[derive(Clone, PartialEq)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f64>,
}

impl NoiseSchedule {
    pub(crate) fn new(training: &TrainingConfig) -> Result<Self, ConfigError> {
        let (key, betas) = match &training.trained_betas {
            Some(betas) => ("trained_betas", betas.iter().map(|&beta| beta as f32).collect()),
            None => {
                let (start, end) = (training.beta_start, training.beta_end);
                ("beta_end", training.beta_schedule.betas(start, end, training.num_train_timesteps))
            }
        };
        if let Some(beta) = betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
            return Err(out_of_range(key, "every beta within [0, 1)".to_string(), beta));
        }
        let mut alphas: Vec<f32> = betas.iter().map(|beta| 1.0 - beta).collect();
        if training.rescale_betas_zero_snr {
            alphas = rescale_zero_terminal_snr(&cumulative_products(&alphas));
        }
        let alphas_cumprod = cumulative_products(&alphas).into_iter().map(f64::from).collect();
        Ok(Self { alphas_cumprod })
    }

    /// The same with a last level that is next to zero instead of zero, so that its sigma (4096) is finite.
    pub fn with_finite_sigmas(mut self) -> Self {
        if let Some(last) = self.alphas_cumprod.last_mut()
            && *last == 0.0
        {
            *last = 2f64.powi(-24); // the smallest positive half-precision number, as in diffusers
        }
        self
    }

    /// Cumulative products of `1 - beta`, one per training step.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// Number of training steps.
    pub fn num_train_timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Noise-to-signal ratios `sqrt((1 - alpha_cumprod) / alpha_cumprod)`, rising; in f32, as the table.
    pub fn sigmas(&self) -> Vec<f64> {
        let sigma = |&alpha: &f64| f64::from(((1.0 - alpha as f32) / alpha as f32).sqrt());
        self.alphas_cumprod.iter().map(sigma).collect()
    }

    /// The least sigma, of timestep 0.
    pub fn sigma_min(&self) -> f64 {
        self.sigmas().first().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for NoiseSchedule {
    /// Without the numbers, of which there are a thousand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.num_train_timesteps();
        f.debug_struct("NoiseSchedule").field("num_train_timesteps", &count).finish_non_exhaustive()
    }
}

/// Multiplied in f64 and stored in f32, as `torch.cumprod` does it.
fn cumulative_products(factors: &[f32]) -> Vec<f32> {
    let mut product = 1.0;
    let mut next = |&factor: &f32| {
        product *= f64::from(factor);
        product as f32
    };
    factors.iter().map(&mut next).collect()
}

/// Algorithm 1 of "Common Diffusion Noise Schedules and Sample Steps are Flawed" (<https://arxiv.org/abs/2305.08891>):
/// shifts and scales the roots of the products so that the last is 0 and the first stays; returns the new factors.
fn rescale_zero_terminal_snr(alphas_cumprod: &[f32]) -> Vec<f32> {
    let roots = || alphas_cumprod.iter().map(|alpha| alpha.sqrt());
    let (first, last) = (roots().next().unwrap_or(1.0), roots().next_back().unwrap_or(0.0));
    // Without any noise to speak of there is nothing to scale.
    let scale = if first > last { first / (first - last) } else { 0.0 };
    let products = roots().map(|root| (root - last) * scale).map(|root| root * root);
    let mut previous = 1.0;
    let factors = products.map(|product| {
        let factor = if previous > 0.0 { product / previous } else { 0.0 };
        previous = product;
        1.0 - (1.0 - factor) // diffusers keeps betas, which rounds once more
    });
    factors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchedulerConfig;

    // Reference values: diffusers 0.42, scaled_linear from .00085 to .012 over 1000 steps.
    fn stable_diffusion() -> SchedulerConfig {
        let config =
            SchedulerConfig::new("EulerDiscreteScheduler").with("beta_schedule", "scaled_linear");
        config.with("beta_start", 0.00085).with("beta_end", 0.012)
    }

    fn assert_near(found: f64, expected: f64, relative: f64) {
        assert!(
            (found - expected).abs() <= relative * expected.abs(),
            "expected {expected}, found {found}"
        );
    }

    #[test]
    fn stable_diffusion_schedule() {
        let schedule = stable_diffusion().training().unwrap().schedule().unwrap();
        assert_near(schedule.alphas_cumprod()[0], 0.99915, 1e-7);
        assert_near(schedule.alphas_cumprod()[999], 0.0046600951, 1e-7);
        let sigmas = schedule.sigmas();
        for (timestep, sigma) in
            [(0, 0.02916753), (999, 14.61464), (981, 13.12041), (951, 11.02833)]
        {
            assert_near(sigmas[timestep], sigma, 1e-6);
        }
    }

    #[test]
    fn zero_terminal_snr() {
        let config = stable_diffusion().with("rescale_betas_zero_snr", true);
        let schedule = config.training().unwrap().schedule().unwrap();
        assert_eq!(schedule.alphas_cumprod()[999], 0.0);
        assert_near(schedule.alphas_cumprod()[0], 0.99915, 1e-7);
        assert_near(schedule.alphas_cumprod()[998], 1.9679e-7, 1e-4);
        assert_near(schedule.with_finite_sigmas().sigmas()[999], 4096.0, 1e-6);
    }

    #[test]
    fn cosine_schedule_is_capped() {
        let betas = BetaSchedule::SquaredCosCapV2.betas(0.0, 0.0, 1000);
        assert_near(f64::from(betas[0]), 4.128e-5, 1e-3);
        assert_eq!(betas[999], 0.999);
    }

    // Against the curves that the schedules are defined by: a product of many small steps is the curve itself.
    #[test]
    fn products_follow_their_closed_forms() {
        let schedule = |name: &str, steps: usize| {
            let config = SchedulerConfig::new("DDPMScheduler").with("beta_schedule", name);
            config.with("num_train_timesteps", steps).training().unwrap().schedule().unwrap()
        };
        for steps in [10, 1000] {
            let cosine = schedule("squaredcos_cap_v2", steps);
            let laplace = schedule("laplace", steps);
            let angle = |time: f64| (time + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
            for index in 0..steps - 1 {
                let time = (index + 1) as f64 / steps as f64;
                let expected = (angle(time).cos() / angle(0.0).cos()).powi(2);
                assert_near(cosine.alphas_cumprod()[index], expected, 2e-4);
                // the quantile function of the Laplace distribution: log-SNR 0.5 ln(2 t) below the middle
                let snr = |time: f64| match time < 0.5 {
                    true => (2.0 * time + 1e-6).powf(-0.5),
                    false => (2.0 - 2.0 * time + 1e-6).powf(0.5),
                };
                let expected =
                    ((snr(time) / (1.0 + snr(time))) / (snr(0.0) / (1.0 + snr(0.0)))).sqrt();
                assert_near(laplace.alphas_cumprod()[index], expected, 2e-4);
            }
        }
        // the logarithm of a product of 1 - beta is minus the integral of beta, to first order in beta
        let training = SchedulerConfig::new("DDPMScheduler").with("beta_end", 2e-4);
        for (name, mean) in
            [("linear", 1.5e-4), ("scaled_linear", 1.471405e-4), ("sigmoid", 1.5e-4)]
        {
            let schedule =
                training.clone().with("beta_schedule", name).training().unwrap().schedule();
            let last = *schedule.unwrap().alphas_cumprod().last().unwrap();
            assert_near(-last.ln(), 1000.0 * mean, 5e-4);
        }
    }

    #[test]
    fn impossible_betas_are_errors() {
        for config in [
            stable_diffusion().with("beta_end", 1.5),
            stable_diffusion()
                .with("num_train_timesteps", 2)
                .with("trained_betas", vec![0.1, -0.1]),
        ] {
            assert!(matches!(
                config.training().unwrap().schedule(),
                Err(ConfigError::OutOfRange { .. })
            ));
        }
        for config in [
            stable_diffusion().with("trained_betas", vec![0.1, 0.2]),
            stable_diffusion().with("beta_start", -0.1),
            stable_diffusion().with("num_train_timesteps", 0),
            stable_diffusion().with("num_train_timesteps", 1e12),
        ] {
            assert!(matches!(config.training(), Err(ConfigError::OutOfRange { .. })));
        }
        let config = stable_diffusion().with("beta_schedule", "laplacian");
        assert!(matches!(config.training(), Err(ConfigError::UnknownValue { .. })));
    }
}
