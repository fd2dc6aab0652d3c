//! How flow matching models shift their noise levels: "Scaling Rectified Flow Transformers for High-Resolution Image
//! Synthesis", <https://arxiv.org/abs/2403.03206>, section 5.3.2.

use crate::{
    SchedulerConfig,
    config::{Fields, out_of_range},
    error::{ConfigError, PlanError},
    names::named_enum,
};

named_enum! {
    /// The form of a shift that depends on the size of the image.
    pub enum TimeShiftType ("time shift type") {
        /// `e^mu / (e^mu + 1 / sigma - 1)`.
        Exponential = "exponential",
        /// `mu / (mu + 1 / sigma - 1)`.
        Linear = "linear",
    }
}

/// The static shift `shift sigma / (1 + (shift - 1) sigma)` of a noise level from 0 to 1: more steps at high noise.
pub fn shifted(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

impl TimeShiftType {
    /// A noise level from 0 to 1, shifted by `mu`.
    pub fn shifted(self, sigma: f64, mu: f64) -> f64 {
        let shift = match self {
            Self::Exponential => mu.exp(),
            Self::Linear => mu,
        };
        shift / (shift + (1.0 / sigma - 1.0))
    }

    /// An error for a configuration without the shift of the request, the other way round, or a shift that has no meaning.
    pub(crate) fn check(dynamic: Option<Self>, mu: Option<f64>) -> Result<(), PlanError> {
        match (dynamic, mu) {
            (Some(_), None) | (None, Some(_)) => Err(PlanError::DynamicShift),
            (Some(Self::Linear), Some(mu)) if mu <= 0.0 => Err(PlanError::Mu { mu }),
            _ => Ok(()),
        }
    }
}

/// `shift_terminal`; 0 is none, as in diffusers.
pub(crate) fn read_terminal(fields: Fields<'_>) -> Result<Option<f64>, ConfigError> {
    let terminal = fields.optional_number("shift_terminal")?.filter(|value| *value != 0.0);
    match terminal.filter(|value| !(0.0..1.0).contains(value)) {
        Some(value) => {
            Err(out_of_range("shift_terminal", "a number from 0 to 1".to_string(), value))
        }
        None => Ok(terminal),
    }
}

/// Stretches falling levels so that the last is `terminal`; 1 stays 1.
pub fn stretched_to_terminal(sigmas: &mut [f64], terminal: f64) {
    let Some(last) = sigmas.last() else { return };
    let scale = (1.0 - last) / (1.0 - terminal);
    sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
}

/// The numbers that tie the shift to the size of an image, with diffusers' defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DynamicShift {
    /// The shift at `base_seq_len` tokens.
    pub base_shift: f64,
    /// The shift at `max_seq_len` tokens.
    pub max_shift: f64,
    /// Tokens of a small image.
    pub base_seq_len: f64,
    /// Tokens of a large image.
    pub max_seq_len: f64,
}

impl DynamicShift {
    /// Those of a flow matching configuration.
    ///
    /// # Errors
    /// If a key has the wrong type.
    pub fn of(config: &SchedulerConfig) -> Result<Self, ConfigError> {
        let fields = config.fields();
        Ok(Self {
            base_shift: fields.optional_number("base_shift")?.unwrap_or(0.5),
            max_shift: fields.optional_number("max_shift")?.unwrap_or(1.15),
            base_seq_len: fields.number("base_image_seq_len", 256.0)?,
            max_seq_len: fields.number("max_image_seq_len", 4096.0)?,
        })
    }

    /// `mu` of an image with this many tokens: linear between the two given points, and beyond them.
    pub fn mu(&self, image_seq_len: usize) -> f64 {
        let slope = (self.max_shift - self.base_shift) / (self.max_seq_len - self.base_seq_len);
        self.base_shift + slope * (image_seq_len as f64 - self.base_seq_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_keep_the_ends_and_push_up() {
        for shift in [1.0, 3.0, 7.5] {
            assert_eq!((shifted(0.0, shift), shifted(1.0, shift)), (0.0, 1.0));
        }
        assert_eq!(shifted(0.5, 3.0), 0.75);
        // e^ln 3 and 3 are the static shift by 3
        for sigma in [0.1, 0.5, 0.9] {
            let exponential = TimeShiftType::Exponential.shifted(sigma, 3f64.ln());
            let linear = TimeShiftType::Linear.shifted(sigma, 3.0);
            for found in [exponential, linear] {
                assert!((found - shifted(sigma, 3.0)).abs() < 1e-15);
            }
        }
        assert_eq!(TimeShiftType::Exponential.shifted(0.0, 1.0), 0.0);
    }

    #[test]
    fn the_terminal_level_is_reached() {
        let mut sigmas = [1.0, 0.7, 0.2];
        stretched_to_terminal(&mut sigmas, 0.02);
        assert!((sigmas[0] - 1.0).abs() < 1e-15 && (sigmas[2] - 0.02).abs() < 1e-15);
        assert!((sigmas[1] - (1.0 - 0.3 * 0.98 / 0.8)).abs() < 1e-15);
    }

    #[test]
    fn the_dynamic_shift_is_linear_in_tokens() {
        let shift = DynamicShift::of(&SchedulerConfig::new("")).unwrap();
        assert_eq!((shift.mu(256), shift.mu(4096)), (0.5, 1.15));
        assert!((shift.mu(2176) - 0.825).abs() < 1e-15);
    }
}
