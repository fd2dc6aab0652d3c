//! What all samplers of this crate are: a method, read from a configuration.

use std::fmt;

use crate::{
    Scheduler, SchedulerConfig,
    error::{ConfigError, PlanError},
    plan::Plan,
    request::PlanRequest,
};

/// A method of sampling, as read from a configuration; [`Configured`] makes a [`Scheduler`] of it.
pub trait Method: fmt::Debug + Clone + Send + Sync + 'static {
    /// Reads the keys that the method knows.
    ///
    /// # Errors
    /// If one has the wrong type, an impossible value, or asks for what the method cannot do.
    fn read(config: &SchedulerConfig) -> Result<Self, ConfigError>;

    /// Plans a run; the request has been validated.
    ///
    /// # Errors
    /// If it is impossible for this method.
    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError>;
}

/// A sampler: a configuration and the method that was read from it.
#[derive(Debug, Clone)]
pub struct Configured<M> {
    config: SchedulerConfig,
    method: M,
}

impl<M: Method> Configured<M> {
    /// Reads a configuration, whatever its class name.
    ///
    /// # Errors
    /// If a key has the wrong type or an impossible value, or asks for what the method cannot do.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        Ok(Self { method: M::read(&config)?, config })
    }
}

impl<M: Method> Scheduler for Configured<M> {
    fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        request.validate()?;
        self.method.plan(request)
    }
}
