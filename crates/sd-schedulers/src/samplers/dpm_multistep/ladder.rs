//! The timesteps and sigmas of a run.

use super::DpmMultistep;
use crate::{
    samplers::sigmas_at,
    schedule::{BetaSchedule, FinalSigmas, SigmaRule, TimestepSpacing, linspace, trailing},
};

impl DpmMultistep {
    /// Timesteps, and sigmas with one more.
    pub(super) fn ladder(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let training_sigmas = self.schedule.sigmas();
        let mut timesteps = self.timesteps(&training_sigmas, steps);
        let mut sigmas = sigmas_at(&training_sigmas, &timesteps);
        let sigma_max = training_sigmas.last().copied().unwrap_or_default();
        let ends = (self.schedule.sigma_min(), sigma_max);
        if self.rule == SigmaRule::Karras {
            timesteps.resize(steps, 0.0); // Karras' rule places them all anew
        }
        self.rule.apply(&mut timesteps, &mut sigmas, ends, &training_sigmas);
        let rounded = self.training.beta_schedule != BetaSchedule::SquaredCosCapV2;
        let whole = if rounded { f64::round_ties_even } else { f64::trunc };
        timesteps.iter_mut().for_each(|timestep| *timestep = whole(*timestep));
        sigmas.push(match self.final_sigmas {
            FinalSigmas::Zero => 0.0,
            FinalSigmas::SigmaMin => self.schedule.sigma_min(),
        });
        (timesteps, sigmas)
    }

    /// One more timestep than steps is spaced and the last left out, unlike in the other samplers.
    fn timesteps(&self, training_sigmas: &[f64], steps: usize) -> Vec<f64> {
        let clipped =
            training_sigmas.iter().filter(|sigma| -sigma.ln() < self.lambda_min_clipped).count();
        let last = (training_sigmas.len() - clipped).max(1);
        match self.spacing.kind {
            TimestepSpacing::Linspace => {
                let spaced = linspace(0.0, last as f64 - 1.0, steps + 1);
                spaced.into_iter().skip(1).rev().map(f64::round_ties_even).collect()
            }
            TimestepSpacing::Leading => {
                let (ratio, offset) = (last / (steps + 1), self.spacing.steps_offset);
                (1..=steps).rev().map(|index| (index * ratio + offset) as f64).collect()
            }
            TimestepSpacing::Trailing => {
                trailing(last as f64, training_sigmas.len() as f64 / steps as f64, steps)
            }
        }
    }
}
