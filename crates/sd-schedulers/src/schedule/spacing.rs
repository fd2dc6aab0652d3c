//! Which training timesteps a run visits (table 2 of <https://arxiv.org/abs/2305.08891>).

use crate::{
    config::Fields,
    error::{ConfigError, PlanError},
    names::named_enum,
};

named_enum! {
    /// How the timesteps of a run are spread over the training timesteps.
    pub enum TimestepSpacing ("timestep spacing") {
        /// Evenly from the first to the last, both included.
        Linspace = "linspace",
        /// Multiples of a whole number, from 0 (plus `steps_offset`): the last timestep is not visited.
        Leading = "leading",
        /// Evenly downwards from the last.
        Trailing = "trailing",
    }
}

/// `count` evenly spaced numbers from `start` to `stop`, both included, rounded as numpy rounds them.
pub fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    let Some(intervals) = count.checked_sub(1).filter(|&n| n > 0) else {
        return vec![start; count];
    };
    let step = (stop - start) / intervals as f64;
    let mut values: Vec<f64> = (0..count).map(|index| index as f64 * step + start).collect();
    values[intervals] = stop;
    values
}

/// `round(last, last - step, …) - 1`, downwards, at most `count` values above zero.
///
/// For some numbers of steps (61 of 1000 is the first) numpy's `arange` goes one value too far, and diffusers
/// then evaluates the model at timestep -1. That value is left out here.
pub(crate) fn trailing(last: f64, step: f64, count: usize) -> Vec<f64> {
    let delta = (last - step) - last; // numpy's: the difference of the first two values
    (0..count)
        .map(|index| (last + index as f64 * delta).round_ties_even() - 1.0)
        .take_while(|&timestep| timestep >= 0.0)
        .collect()
}

/// A spacing with its offset, as DDIM, PNDM, Euler and Heun read them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spacing {
    pub(crate) kind: TimestepSpacing,
    pub(crate) steps_offset: usize,
}

impl Spacing {
    pub(crate) fn read(fields: Fields<'_>, default: TimestepSpacing) -> Result<Self, ConfigError> {
        Ok(Self {
            kind: fields.name("timestep_spacing", default)?,
            steps_offset: fields.count("steps_offset", 0, 0, u32::MAX as usize)?,
        })
    }

    /// Falling timesteps; those of `linspace` are fractions.
    pub(crate) fn timesteps(
        self,
        num_train_timesteps: usize,
        steps: usize,
    ) -> Result<Vec<f64>, PlanError> {
        self.check_steps(num_train_timesteps, steps)?;
        let total = num_train_timesteps as f64;
        Ok(match self.kind {
            TimestepSpacing::Linspace => {
                linspace(0.0, total - 1.0, steps).into_iter().rev().collect()
            }
            TimestepSpacing::Leading => {
                let ratio = num_train_timesteps / steps.max(1);
                (0..steps).rev().map(|index| (index * ratio + self.steps_offset) as f64).collect()
            }
            TimestepSpacing::Trailing => trailing(total, total / steps as f64, steps),
        })
    }

    /// The same in whole numbers (DDIM, PNDM).
    pub(crate) fn whole_timesteps(
        self,
        num_train_timesteps: usize,
        steps: usize,
    ) -> Result<Vec<i64>, PlanError> {
        let timesteps = self.timesteps(num_train_timesteps, steps)?.into_iter();
        Ok(timesteps.map(|timestep| timestep.round_ties_even() as i64).collect())
    }

    /// More trailing timesteps than there are would go on below zero.
    pub(crate) fn check_steps(self, limit: usize, steps: usize) -> Result<(), PlanError> {
        if self.kind == TimestepSpacing::Trailing && steps > limit {
            return Err(PlanError::TooManySteps { steps, limit });
        }
        Ok(())
    }

    /// The standard deviation that a variance-exploding run starts with.
    pub(crate) fn init_noise_sigma(self, sigma_max: f64) -> f64 {
        match self.kind {
            // Not the last noise level of training: the signal's own variance is there, too.
            TimestepSpacing::Leading => (sigma_max * sigma_max + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => sigma_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spacing(kind: TimestepSpacing, steps_offset: usize) -> Spacing {
        Spacing { kind, steps_offset }
    }

    // Reference values: diffusers 0.42, 1000 training steps.
    #[test]
    fn twenty_steps() {
        let leading = spacing(TimestepSpacing::Leading, 1).whole_timesteps(1000, 20).unwrap();
        assert_eq!((leading[0], leading[1], leading[18], leading[19]), (951, 901, 51, 1));
        let trailing = spacing(TimestepSpacing::Trailing, 0).whole_timesteps(1000, 20).unwrap();
        assert_eq!((trailing[0], trailing[1], trailing[19]), (999, 949, 49));
        let linspace = spacing(TimestepSpacing::Linspace, 0).whole_timesteps(1000, 20).unwrap();
        assert_eq!(linspace[..5], [999, 946, 894, 841, 789]);
        assert_eq!(linspace[18..], [53, 0]);
        let fractions = spacing(TimestepSpacing::Linspace, 0).timesteps(1000, 20).unwrap();
        assert!((fractions[1] - 946.421_052_63).abs() < 1e-6);
    }

    #[test]
    fn the_leading_step_is_whole() {
        let timesteps = spacing(TimestepSpacing::Leading, 0).whole_timesteps(1000, 30).unwrap();
        assert_eq!((timesteps[0], timesteps[29]), (957, 0));
    }

    #[test]
    fn trailing_never_goes_below_zero() {
        for steps in 1..=1000 {
            let timesteps = spacing(TimestepSpacing::Trailing, 0).timesteps(1000, steps).unwrap();
            assert_eq!(timesteps.len(), steps);
            assert!(timesteps.iter().all(|&timestep| timestep >= 0.0), "{steps}");
        }
    }

    #[test]
    fn one_step() {
        assert_eq!(spacing(TimestepSpacing::Linspace, 0).timesteps(1000, 1).unwrap(), [0.0]);
        assert_eq!(spacing(TimestepSpacing::Leading, 1).timesteps(1000, 1).unwrap(), [1.0]);
        assert_eq!(spacing(TimestepSpacing::Trailing, 0).timesteps(1000, 1).unwrap(), [999.0]);
    }
}
