//! What a configuration says about the sigmas of a run.

use crate::{
    config::{Fields, out_of_range},
    error::{ConfigError, PlanError},
    names::named_enum,
    schedule::SigmaSchedule,
};

/// Linear interpolation of `values` at a fractional index, clamped to the ends.
pub fn interpolate(values: &[f64], index: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let index = index.clamp(0.0, last as f64);
    let low = (index as usize).min(last.saturating_sub(1));
    let high = (low + 1).min(last);
    values[low] + (index - low as f64) * (values[high] - values[low])
}

/// Logarithms in f32 as in diffusers: whether an end of a rule is a timestep or just below hangs on it.
pub(crate) fn log_sigmas_of(training_sigmas: &[f64]) -> Vec<f64> {
    training_sigmas.iter().map(|sigma| f64::from(sigma.ln() as f32)).collect()
}

/// The fractional training timestep with this sigma, by interpolation of logarithms; `log_sigmas` rise.
pub(crate) fn timestep_of_sigma(sigma: f64, log_sigmas: &[f64]) -> f64 {
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

/// Where the sigmas of a run come from: the curve that a configuration names, if it names one, and its ends.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SigmaRule {
    /// `None`: the sigmas of the spaced timesteps.
    pub(crate) schedule: Option<SigmaSchedule>,
    sigma_min: Option<f64>,
    sigma_max: Option<f64>,
    rho: Option<f64>,
}

impl SigmaRule {
    /// `use_karras_sigmas` and its siblings, or the crate's own key `sigma_schedule`; the ends by `sigma_min` and
    /// `sigma_max`, the power by `rho`.
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let switches = [
            ("use_karras_sigmas", SigmaSchedule::Karras),
            ("use_exponential_sigmas", SigmaSchedule::Exponential),
            ("use_beta_sigmas", SigmaSchedule::Beta),
        ];
        let mut chosen = Vec::new();
        for (key, schedule) in switches {
            if fields.switch(key)? {
                chosen.push(schedule);
            }
        }
        let rule = Self::read_named(fields)?;
        // The same said twice is no contradiction.
        let agrees = |one: &SigmaSchedule| rule.schedule.is_none_or(|named| named == *one);
        match chosen.as_slice() {
            [] => Ok(rule),
            [one] if agrees(one) => Ok(Self { schedule: Some(*one), ..rule }),
            _ => Err(ConfigError::SeveralSigmaRules),
        }
    }

    /// `sigma_schedule` alone, for classes without the switches.
    pub(crate) fn read_named(fields: Fields<'_>) -> Result<Self, ConfigError> {
        let positive = |key| fields.optional_number_above(key, 0.0);
        let (sigma_min, sigma_max) = (positive("sigma_min")?, positive("sigma_max")?);
        if let (Some(least), Some(most)) = (sigma_min, sigma_max)
            && least > most
        {
            return Err(out_of_range("sigma_min", format!("at most {most}"), least));
        }
        Ok(Self {
            schedule: fields.optional_name("sigma_schedule")?,
            sigma_min,
            sigma_max,
            rho: positive("rho")?,
        })
    }

    /// The sigmas of the curve, if there is one; `ends` are the least and the greatest where the configuration has none. An
    /// error if they are the wrong way round.
    pub(crate) fn sigmas(
        &self,
        count: usize,
        ends: (f64, f64),
        training_sigmas: &[f64],
    ) -> Result<Option<Vec<f64>>, PlanError> {
        let Some(schedule) = self.schedule else { return Ok(None) };
        let (least, most) = (self.sigma_min.unwrap_or(ends.0), self.sigma_max.unwrap_or(ends.1));
        if least > most {
            return Err(PlanError::SigmaEnds { least, most });
        }
        Ok(Some(schedule.sigmas(count, (least, most), training_sigmas, self.rho)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn rules_are_read_and_contradictions_refused() {
        let rule = |json: serde_json::Value| {
            SigmaRule::read(Fields { class: "Test", values: json.as_object().unwrap() })
        };
        let karras = rule(serde_json::json!({"use_karras_sigmas": true, "rho": 5.0})).unwrap();
        assert_eq!(karras.schedule, Some(SigmaSchedule::Karras));
        assert_eq!(karras.sigmas(2, (1.0, 32.0), &[]), Ok(Some(vec![32.0, 1.0])));
        let named = rule(serde_json::json!({"sigma_schedule": "kl_optimal", "sigma_max": 3.0}));
        let named = named.unwrap();
        let sigmas = named.sigmas(2, (1.0, 32.0), &[]).unwrap().unwrap();
        assert!((sigmas[0] - 3.0).abs() < 1e-14);
        let turned = named.sigmas(2, (4.0, 32.0), &[]);
        assert_eq!(turned, Err(PlanError::SigmaEnds { least: 4.0, most: 3.0 }));
        let turned = rule(serde_json::json!({"sigma_min": 4.0, "sigma_max": 3.0}));
        assert!(matches!(turned, Err(ConfigError::OutOfRange { .. })));
        let same = serde_json::json!({"sigma_schedule": "beta", "use_beta_sigmas": true});
        assert!(rule(same).is_ok());
        for two in [
            serde_json::json!({"sigma_schedule": "beta", "use_karras_sigmas": true}),
            serde_json::json!({"use_exponential_sigmas": true, "use_karras_sigmas": true}),
        ] {
            assert_eq!(rule(two), Err(ConfigError::SeveralSigmaRules));
        }
        assert!(rule(serde_json::json!({"sigma_min": -1.0})).is_err());
        let unknown = rule(serde_json::json!({"sigma_schedule": "karas"})).unwrap_err();
        assert!(unknown.to_string().contains("did you mean `karras`?"));
    }
}
