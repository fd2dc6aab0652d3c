//! `use_flow_sigmas`: levels of flow matching for samplers in terms of log-SNRs.

use super::family::Family;
use crate::{
    config::Fields,
    error::ConfigError,
    schedule::{
        PredictionType,
        flow::{TimeShiftType, read_terminal, shifted, stretched_to_terminal},
        linspace,
    },
};

/// How the levels are placed, which two of diffusers' classes do in two ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowSigmas {
    family: Family,
    shift: f64,
    dynamic: Option<TimeShiftType>,
    terminal: Option<f64>,
}

impl FlowSigmas {
    /// What models may predict over them.
    pub(super) const PREDICTIONS: &[PredictionType] =
        &[PredictionType::FlowPrediction, PredictionType::Epsilon, PredictionType::Sample];

    pub(super) fn read(fields: Fields<'_>, family: Family) -> Result<Option<Self>, ConfigError> {
        let is_dynamic = fields.switch("use_dynamic_shifting")?;
        if !fields.switch("use_flow_sigmas")? {
            fields.refuse_switch("use_dynamic_shifting")?;
            return Ok(None);
        }
        let time_shift = fields.name("time_shift_type", TimeShiftType::Exponential)?;
        Ok(Some(Self {
            family,
            shift: fields.number_from("flow_shift", 1.0, f64::MIN_POSITIVE)?,
            dynamic: is_dynamic.then_some(time_shift),
            terminal: read_terminal(fields)?,
        }))
    }

    /// The form of the shift, if it is that of the request.
    pub(super) fn dynamic(self) -> Option<TimeShiftType> {
        self.dynamic
    }

    /// Falling levels.
    pub(super) fn sigmas(
        self,
        num_train_timesteps: usize,
        count: usize,
        mu: Option<f64>,
    ) -> Vec<f64> {
        let even = linspace(1.0, 1.0 / num_train_timesteps as f64, count + 1);
        if self.family != Family::UniPc {
            let alphas = even.into_iter().skip(1).rev();
            return alphas.map(|alpha| self.shifted(1.0 - alpha, mu)).collect();
        }
        self.finished(&even[..count], mu)
    }

    fn shifted(self, sigma: f64, mu: Option<f64>) -> f64 {
        match (self.dynamic, mu) {
            _ if sigma == 0.0 => 0.0,
            (Some(form), Some(mu)) => form.shifted(sigma, mu),
            _ => shifted(sigma, self.shift),
        }
    }

    /// Falling levels, shifted and stretched. Custom ones are, too.
    pub(super) fn finished(self, sigmas: &[f64], mu: Option<f64>) -> Vec<f64> {
        let mut sigmas: Vec<f64> = sigmas.iter().map(|&sigma| self.shifted(sigma, mu)).collect();
        if let Some(terminal) = self.terminal {
            stretched_to_terminal(&mut sigmas, terminal);
        }
        if let Some(first) = sigmas.first_mut().filter(|first| (**first - 1.0).abs() < 1e-6) {
            *first -= 1e-6; // without any signal the log-SNR is infinite
        }
        sigmas
    }
}
