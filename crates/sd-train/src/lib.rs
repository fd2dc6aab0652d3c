//! Training of Stable Diffusion models on the [Burn](burn) framework.
//!
//! A [`Task`] is models, data and a loss; a [`Trainer`] makes its steps with [AdamW](Optimizer), clipping, a
//! [moving average](Ema) of the weights and a state in one file. [`AutoencoderTask`] and [`DiffusionTask`] are what Stable
//! Diffusion consists of, and [`run`](mod@run) makes a whole run of a file, as `sd train` does:
//!
//! ```no_run
//! use burn_autodiff::Autodiff;
//! use sd_core::backend::DefaultBackend;
//! use sd_train::run::{Resume, RunFile, run};
//!
//! # fn main() -> Result<(), sd_train::TrainError> {
//! let file = RunFile::open("run.toml")?;
//! run::<Autodiff<DefaultBackend>>(&file, &Default::default(), Resume::Yes, &mut ())?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything random follows from the run's seed and the step ([`Draws`]), so there is no generator whose state could be lost:
//! an interrupted run goes on to the same numbers.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod autoencoder;
mod autoencoder_task;
mod batch_rows;
#[cfg(feature = "collective")]
mod collective;
mod contexts;
pub mod data;
mod diffusion;
mod diffusion_task;
mod draws;
mod ema;
mod epochs;
mod error;
mod gradients;
mod latents;
mod learning_rate;
mod noise;
pub mod objective;
mod optimizer;
mod passes;
mod peers;
mod precision;
mod row;
pub mod run;
mod state;
mod step_report;
mod task;
mod trained;
mod trainer;

pub use autoencoder::{AutoencoderObjective, AutoencoderTerms};
pub use autoencoder_task::AutoencoderTask;
pub use batch_rows::BatchRows;
pub use contexts::ContextTable;
pub use diffusion::denoising_loss;
pub use diffusion_task::{Contexts, DiffusionTask, Latents};
pub use draws::{Choices, Draws};
pub use ema::Ema;
pub use epochs::Epochs;
pub use error::TrainError;
pub use gradients::Gradients;
pub use latents::LatentTable;
pub use learning_rate::{Decay, LearningRate};
pub use optimizer::{AdamWOptions, Optimizer};
pub use peers::{Alone, Peers};
pub use step_report::StepReport;
pub use task::{Losses, Share, Task};
pub use trained::TrainedWeights;
pub use trainer::{TrainOptions, Trainer};
