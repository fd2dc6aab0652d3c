//! A training run from a file: what `sd train` does.

mod curve;
mod devices;
mod drive;
mod file;
mod log;
mod models;
mod output;
mod publish;
mod scaling;
mod sheet;
#[cfg(feature = "collective")]
mod together;
#[cfg(test)]
mod toy;

use std::path::Path;

use burn::tensor::{DType, backend::BackendTypes};
use sd_kernels::TrainBackend;

pub use file::{CheckpointSection, DataSection, DiffusionSection, RunFile, TaskKind, Validation};
pub use log::{Entry, Observer};
pub use sheet::contact_sheet;

use crate::{Task, TrainError, TrainedWeights, precision};
use devices::devices;
use drive::Run;
use output::Output;

/// Pictures that show how far a training is, and figures by name.
pub type Shown = (Vec<image::RgbImage>, Vec<(&'static str, f64)>);

/// What a run can show and keep, beside its losses.
pub trait Published<B: TrainBackend>: Task<B> {
    /// Writes the trained weights into a model directory in diffusers' layout, as `dtype`.
    ///
    /// # Errors
    /// When they cannot be written.
    fn publish(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        model: &Path,
        dtype: DType,
    ) -> Result<(), TrainError>;

    /// Pictures that show how far the training is, and figures by name.
    ///
    /// # Errors
    /// When they cannot be made.
    fn validate(
        &self,
        weights: &TrainedWeights<'_, B::InnerBackend>,
        validation: &Validation,
    ) -> Result<Shown, TrainError>;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// All steps are made, and the model is published.
    Finished,
    /// The observer stopped it; its state is saved.
    Stopped,
}

/// Makes the run of a file. With `resume` it goes on from the newest state of the output directory, if there is one.
///
/// # Errors
/// When the file does not fit the model or the data, something cannot be read or written, or the loss is no number.
pub fn run<B: TrainBackend>(
    file: &RunFile,
    device: &<B as BackendTypes>::Device,
    resume: Resume,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    precision::check::<B::InnerBackend>(file.dtype, device)?;
    let devices = devices::<B::InnerBackend>(&file.devices, device)?;
    let output = Output::create(file, resume)?;
    let run = Run { file, output: &output };
    match file.task {
        TaskKind::Autoencoder => {
            run.on::<B, _>(&devices, observer, &|device| models::autoencoder::<B>(file, device))
        }
        TaskKind::Diffusion => {
            run.on::<B, _>(&devices, observer, &|device| models::diffusion::<B>(file, device))
        }
    }
}

/// Whether a run begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// It begins; an output directory with the state of a run is refused.
    #[default]
    No,
    /// It goes on, if there is something to go on from.
    Yes,
}
