//! Noise schedules, samplers and PyTorch-identical noise for diffusion models.
//!
//! A [`Scheduler`] is a value, read from a `scheduler_config.json`. It [plans](Scheduler::plan) runs; a [`Run`] hands out
//! evaluations of the model and is advanced by their outputs:
//!
//! ```
//! use burn_ndarray::NdArray;
//! use sd_schedulers::{PlanRequest, Run, TorchCpuGenerator, from_json, normal};
//! # type Backend = NdArray<f32>;
//! # fn model<const D: usize>(x: burn_tensor::Tensor<Backend, D>, _t: f64) -> burn_tensor::Tensor<Backend, D> { x }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scheduler = from_json(r#"{"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}"#)?;
//! let plan = scheduler.plan(&PlanRequest::new(20))?;
//!
//! let mut generator = TorchCpuGenerator::new(42);
//! let noise = normal::<Backend, 4>(&mut generator, [1, 4, 8, 8], &Default::default());
//! let mut run = Run::new(&plan, noise * plan.init_noise_sigma());
//! while let Some(evaluation) = run.evaluation() {
//!     let output = model(evaluation.input, evaluation.timestep);
//!     run.advance(output, &mut generator)?;
//! }
//! assert_eq!(run.index(), 20);
//! # Ok(())
//! # }
//! ```
//!
//! # A sampler of your own
//!
//! Samplers are linear programs: a list of [`Stage`]s, each an evaluation at a noise level and the combination of values
//! that makes the next latents. No tensor occurs, and all coefficients are `f64`. Euler's method in full:
//!
//! ```
//! use sd_schedulers::{
//!     NoiseLevel, Plan, PlanError, PlanRequest, PredictionType, Scheduler, SchedulerConfig, Stage, Value::*,
//! };
//!
//! #[derive(Debug)]
//! struct MyEuler(SchedulerConfig);
//!
//! impl Scheduler for MyEuler {
//!     fn config(&self) -> &SchedulerConfig {
//!         &self.0
//!     }
//!
//!     fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
//!         request.validate()?;
//!         let sigma = |step: usize| 14.6 * (1.0 - step as f64 / request.steps as f64).powi(3);
//!         let stages = (request.begin..request.steps).map(|step| {
//!             let ratio = sigma(step + 1) / sigma(step);
//!             let timestep = 999.0 * (1.0 - step as f64 / request.steps as f64);
//!             Stage::new(timestep, NoiseLevel::variance_exploding(sigma(step)), PredictionType::Epsilon)
//!                 .next(ratio * Sample + (1.0 - ratio) * Denoised)
//!                 .finish_step()
//!         });
//!         Ok(Plan::from_stages(request, stages.collect(), NoiseLevel::CLEAN)?.with_init_noise_sigma(sigma(0)))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = sd_schedulers::from_json(r#"{"_class_name": "PNDMScheduler", "steps_offset": 1}"#)?;
//! let plan = MyEuler(model.config().clone().for_class("MyEuler")).plan(&PlanRequest::new(10))?;
//! assert_eq!((plan.timesteps().len(), plan.sigmas().len()), (10, 11));
//! # Ok(())
//! # }
//! ```
//!
//! # How steps are counted
//!
//! A step is what the user asked for; it may take several evaluations. [`Plan::timesteps`] has one entry per evaluation
//! and equals diffusers' `timesteps`: 2n − 1 for Heun, n + 1 for PNDM as Stable Diffusion ships it (its first step
//! evaluates twice), n + 9 for PNDM with its Runge-Kutta warm-up (three steps of four). Singlestep DPM-Solver counts each of
//! its evaluations as a step, as diffusers does. [`Run::index`] counts finished
//! steps, and [`PlanRequest::begin`] is a step too; for PNDM without warm-up it is the position in diffusers' list of
//! timesteps, in which the second is repeated, so that an image-to-image run starts where diffusers starts.
//!
//! # Where this differs from diffusers
//!
//! - For some numbers of trailing steps (61 of 1000 is the first) diffusers adds an evaluation at timestep -1, from the
//!   rounding of `numpy.arange`. Here there are as many timesteps as steps.
//! - If the first two timesteps are equal (many steps by Karras' rule), diffusers leaves the first sigma out of a
//!   text-to-image run. Here none is left out.
//! - Steps are computed in f32 with `f64` coefficients that collect equal terms, so results differ in the last digits;
//!   most at sigmas of thousands, where diffusers loses digits (`x + (x - x_0) / sigma * (sigma_next - sigma)`).
//! - What would give NaN in diffusers (epsilon prediction from zero signal, eta far above 1) is an error here.
//!
//! `docs/schedulers.md` of the repository lists what concerns single samplers, and has the tables of agreement with
//! diffusers and of measured orders of convergence.

#![cfg_attr(test, allow(clippy::unwrap_used))]

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod combination;
mod config;
mod error;
mod host;
mod interval;
mod kind;
mod machine;
mod names;
mod plan;
mod program;
mod request;
pub mod rng;
mod run;
pub mod samplers;
pub mod schedule;
mod state;

pub use combination::{Combination, Term, Value};
pub use config::{SchedulerConfig, TrainingConfig};
pub use error::{ConfigError, PlanError, RunError};
pub use host::HostRun;
pub use interval::IntervalNoise;
pub use kind::{Sampler, SchedulerKind, from_json};
pub use machine::Progress;
pub use names::UnknownName;
pub use plan::Plan;
pub use program::{Evaluation, Limit, Program, Solver, Stage, Update};
pub use request::{CustomSchedule, MAX_STEPS, PlanRequest};
pub use rng::{
    BatchGenerator, GeneratorKind, NoiseGenerator, TorchCpuGenerator, TorchCudaGenerator,
};
pub use run::{ModelInput, Run, add_noise, normal};
pub use schedule::{NoiseLevel, PredictionType, SigmaSchedule, TimestepSpacing};
pub use state::RunState;

/// A sampler with its configuration: an immutable value that plans any number of runs.
pub trait Scheduler: std::fmt::Debug + Send + Sync {
    /// The configuration that this scheduler was made of, with its own class name. The keys say how the model was trained;
    /// a request that names another sampler plans it over them ([`SchedulerKind::with_config_of`]), so one's own sampler
    /// takes them from the model's: `config.clone().for_class("Mine")`.
    fn config(&self) -> &SchedulerConfig;

    /// Plans a run.
    ///
    /// # Errors
    /// If the request is impossible for this scheduler.
    fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError>;
}

macro_rules! forward_scheduler {
    ($($pointer:ty),*) => {$(
        impl<S: Scheduler + ?Sized> Scheduler for $pointer {
            fn config(&self) -> &SchedulerConfig {
                (**self).config()
            }

            fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
                (**self).plan(request)
            }
        }
    )*};
}

forward_scheduler!(Box<S>, std::sync::Arc<S>);
