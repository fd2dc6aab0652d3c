//! Rules that place the sigmas of a run.

use crate::{config::Fields, error::ConfigError, names::named_enum, schedule::linspace};

/// Linear interpolation of `values` at a fractional index, clamped to the ends.
pub fn interpolate(values: &[f64], index: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let index = index.clamp(0.0, last as f64);
    let low = (index as usize).min(last.saturating_sub(1));
    let high = (low + 1).min(last);
    values[low] + (index - low as f64) * (values[high] - values[low])
}

/// The noise levels of Karras et al. (<https://arxiv.org/abs/2206.00364>, equation 5, rho = 7), falling.
pub fn karras_sigmas(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (least, most) = (sigma_min.powf(1.0 / RHO), sigma_max.powf(1.0 / RHO));
    linspace(0.0, 1.0, count)
        .into_iter()
        .map(|ramp| (most + ramp * (least - most)).powf(RHO))
        .collect()
}

/// `count` sigmas with evenly spaced logarithms from `sigma_max` to `sigma_min`, falling.
pub(crate) fn log_linear_sigmas(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    linspace(sigma_max.ln(), sigma_min.ln(), count).into_iter().map(f64::exp).collect()
}

/// The fractional training timestep with this sigma, by interpolation of logarithms; `log_sigmas` rise.
fn timestep_of_sigma(sigma: f64, log_sigmas: &[f64]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    let Some(most) = log_sigmas.len().checked_sub(2) else { return 0.0 };
    let low = log_sigmas.partition_point(|&value| value <= log_sigma).saturating_sub(1).min(most);
    let weight = (log_sigmas[low] - log_sigma) / (log_sigmas[low] - log_sigmas[low + 1]);
    low as f64 + weight.clamp(0.0, 1.0)
}

named_enum! {
    /// The sigma after the last step.
    pub enum FinalSigmas ("final sigmas type") {
        /// No noise is left.
        Zero = "zero",
        /// The least sigma of training.
        SigmaMin = "sigma_min",
    }
}

/// Where the sigmas of a run come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SigmaRule {
    /// Those of the spaced timesteps.
    Timesteps,
    /// Karras' rule between the ends.
    Karras,
}

impl SigmaRule {
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let karras = fields.switch("use_karras_sigmas")?;
        let others = ["use_exponential_sigmas", "use_beta_sigmas"];
        let mut switched_on = Vec::new();
        for key in others {
            if fields.switch(key)? {
                switched_on.push(key);
            }
        }
        match (karras, switched_on.as_slice()) {
            (false, []) => Ok(Self::Timesteps),
            (true, []) => Ok(Self::Karras),
            (false, [key]) => Err(fields.unsupported(key, true)),
            _ => Err(ConfigError::SeveralSigmaRules),
        }
    }

    /// Applies the rule to timesteps and their sigmas; `ends` are the least and the greatest sigma of Karras' rule.
    pub(crate) fn apply(
        self,
        timesteps: &mut Vec<f64>,
        sigmas: &mut Vec<f64>,
        ends: (f64, f64),
        training_sigmas: &[f64],
    ) {
        if self == Self::Karras {
            *sigmas = karras_sigmas(ends.0, ends.1, timesteps.len());
            // In f32 as in diffusers: whether an end of the rule is a timestep or just below hangs on it.
            let log_sigmas: Vec<f64> =
                training_sigmas.iter().map(|sigma| f64::from(sigma.ln() as f32)).collect();
            *timesteps =
                sigmas.iter().map(|&sigma| timestep_of_sigma(sigma, &log_sigmas)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values: diffusers 0.42, DPMSolverMultistepScheduler with use_karras_sigmas over 10 steps.
    #[test]
    fn karras() {
        let expected =
            [14.6146, 9.1029, 5.4784, 3.1686, 1.7494, 0.9141, 0.4469, 0.2014, 0.0819, 0.0292];
        for (found, expected) in karras_sigmas(0.02916716, 14.61464, 10).into_iter().zip(expected) {
            assert!((found - expected).abs() < 6e-5, "expected {expected}, found {found}");
        }
    }

    #[test]
    fn interpolation_is_linear_and_clamped() {
        let values = [1.0, 3.0, 4.0];
        for (index, expected) in [(-1.0, 1.0), (0.5, 2.0), (1.5, 3.5), (2.0, 4.0), (9.0, 4.0)] {
            assert_eq!(interpolate(&values, index), expected);
        }
        assert_eq!(interpolate(&[5.0], 0.3), 5.0);
    }

    #[test]
    fn timesteps_of_sigmas_invert_the_schedule() {
        let log_sigmas: Vec<f64> = (1..=10).map(|sigma| f64::from(sigma).ln()).collect();
        assert!((timestep_of_sigma(4.0, &log_sigmas) - 3.0).abs() < 1e-12);
        assert_eq!(timestep_of_sigma(0.0, &log_sigmas), 0.0);
        assert_eq!(timestep_of_sigma(99.0, &log_sigmas), 9.0);
        assert_eq!(timestep_of_sigma(1.0, &[0.0]), 0.0);
    }
}
