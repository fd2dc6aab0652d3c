//! What a run is asked to be.

use std::sync::Arc;

use crate::error::PlanError;

/// More steps than anyone takes; the bound keeps a mistyped number from filling the memory.
pub const MAX_STEPS: usize = 1_000_000;

/// The places of the steps, given by the caller instead of a rule.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CustomSchedule {
    /// Falling timesteps of training, one for each step.
    Timesteps(Arc<[f64]>),
    /// Falling sigmas, one for each step and that of the result.
    Sigmas(Arc<[f64]>),
}

impl CustomSchedule {
    /// What it consists of.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Timesteps(_) => "timesteps",
            Self::Sigmas(_) => "sigmas",
        }
    }

    fn check(&self, steps: usize) -> Result<(), PlanError> {
        let (values, expected) = match self {
            Self::Timesteps(values) => (values, steps),
            Self::Sigmas(values) => (values, steps.saturating_add(1)),
        };
        let what = self.what();
        if values.len() != expected {
            return Err(PlanError::CustomCount { what, expected, found: values.len() });
        }
        let fine = |value: f64| value.is_finite() && value >= 0.0;
        if let Some(&value) = values.first().filter(|value| !fine(**value)) {
            return Err(PlanError::CustomOrder { what, previous: value, next: value });
        }
        match values.windows(2).find(|pair| !fine(pair[1]) || pair[1] > pair[0]) {
            Some(pair) => Err(PlanError::CustomOrder { what, previous: pair[0], next: pair[1] }),
            None => Ok(()),
        }
    }
}

/// What a run is asked to be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlanRequest {
    /// Steps of the whole run.
    pub steps: usize,
    /// Share of fresh noise in each step, from 0 (none) to 1: DDIM's eta, TCD's gamma. The others ignore it.
    pub eta: f64,
    /// The step to begin at (image to image); 0 is the whole run.
    pub begin: usize,
    /// Timesteps or sigmas to visit instead of those that the configuration's rules place.
    pub custom: Option<CustomSchedule>,
    /// The shift of a flow matching model that depends on the size of the image, for configurations with
    /// `use_dynamic_shifting` ([`flow::DynamicShift`](crate::schedule::flow::DynamicShift)).
    pub mu: Option<f64>,
}

impl PlanRequest {
    /// A whole run of this many steps, with eta 0.
    pub fn new(steps: usize) -> Self {
        Self { steps, eta: 0.0, begin: 0, custom: None, mu: None }
    }

    /// Sets eta.
    pub fn eta(self, eta: f64) -> Self {
        Self { eta, ..self }
    }

    /// Sets the step to begin at.
    pub fn begin(self, begin: usize) -> Self {
        Self { begin, ..self }
    }

    /// Visits these timesteps, one a step, falling (equal neighbours are allowed where a sampler can).
    pub fn timesteps(self, timesteps: impl Into<Arc<[f64]>>) -> Self {
        let timesteps = timesteps.into();
        Self { steps: timesteps.len(), custom: Some(CustomSchedule::Timesteps(timesteps)), ..self }
    }

    /// Visits these sigmas, falling: one for each step, and that of the result (0 to remove all noise).
    pub fn sigmas(self, sigmas: impl Into<Arc<[f64]>>) -> Self {
        let sigmas = sigmas.into();
        let steps = sigmas.len().saturating_sub(1);
        Self { steps, custom: Some(CustomSchedule::Sigmas(sigmas)), ..self }
    }

    /// Sets the shift of a flow matching model.
    pub fn mu(self, mu: f64) -> Self {
        Self { mu: Some(mu), ..self }
    }

    /// Checks what is true for every scheduler; called first by [`Scheduler::plan`](crate::Scheduler::plan).
    ///
    /// # Errors
    /// Without steps, with more than [`MAX_STEPS`], with a beginning after the end, with an impossible eta or mu, or with
    /// custom timesteps or sigmas that rise or are no numbers.
    pub fn validate(&self) -> Result<(), PlanError> {
        let &Self { steps, eta, begin, .. } = self;
        if steps == 0 {
            return Err(PlanError::NoSteps);
        }
        if steps > MAX_STEPS {
            return Err(PlanError::TooManySteps { steps, limit: MAX_STEPS });
        }
        if begin >= steps {
            return Err(PlanError::BeginOutOfRange { begin, steps });
        }
        if !eta.is_finite() || eta < 0.0 {
            return Err(PlanError::Eta { eta });
        }
        if self.mu.is_some_and(|mu| !mu.is_finite()) {
            return Err(PlanError::DynamicShift);
        }
        self.custom.as_ref().map_or(Ok(()), |custom| custom.check(steps))
    }

    /// An error for custom sigmas or timesteps above these.
    pub(crate) fn refuse_beyond(&self, sigma: f64, timestep: f64) -> Result<(), PlanError> {
        let (values, most) = match &self.custom {
            Some(CustomSchedule::Sigmas(values)) => (values, sigma),
            Some(CustomSchedule::Timesteps(values)) => (values, timestep),
            None => return Ok(()),
        };
        match (values.iter().find(|value| **value > most), &self.custom) {
            (Some(&value), Some(custom)) => {
                Err(PlanError::CustomBeyond { what: custom.what(), value, most })
            }
            _ => Ok(()),
        }
    }

    /// An error if the caller gives timesteps or sigmas to a sampler that places its own.
    pub(crate) fn refuse_custom(&self, class: &'static str) -> Result<(), PlanError> {
        match &self.custom {
            None => Ok(()),
            Some(custom) => Err(PlanError::NoCustom { class, what: custom.what() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_checked() {
        assert_eq!(PlanRequest::new(0).validate(), Err(PlanError::NoSteps));
        assert!(matches!(
            PlanRequest::new(usize::MAX).validate(),
            Err(PlanError::TooManySteps { .. })
        ));
        assert!(matches!(
            PlanRequest::new(3).begin(3).validate(),
            Err(PlanError::BeginOutOfRange { .. })
        ));
        for eta in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(PlanRequest::new(3).eta(eta).validate(), Err(PlanError::Eta { .. })));
        }
        assert_eq!(PlanRequest::new(3).eta(1.0).begin(2).validate(), Ok(()));
        assert_eq!(PlanRequest::new(3).mu(f64::NAN).validate(), Err(PlanError::DynamicShift));
    }

    #[test]
    fn custom_schedules_are_checked() {
        let request = PlanRequest::new(1).sigmas(vec![9.0, 3.0, 3.0, 0.0]);
        assert_eq!((request.steps, request.validate()), (3, Ok(())));
        assert_eq!(PlanRequest::new(1).timesteps(vec![]).validate(), Err(PlanError::NoSteps));
        for rising in [vec![1.0, 2.0], vec![f64::NAN, 0.0], vec![2.0, -1.0]] {
            let error = PlanRequest::new(1).timesteps(rising).validate();
            assert!(matches!(error, Err(PlanError::CustomOrder { .. })), "{error:?}");
        }
        let mut longer = PlanRequest::new(1).timesteps(vec![2.0]);
        longer.steps = 2;
        assert!(matches!(longer.validate(), Err(PlanError::CustomCount { expected: 2, .. })));
    }
}
