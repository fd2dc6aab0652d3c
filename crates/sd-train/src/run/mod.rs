//! A training run from a file: what `sd train` does.

mod curve;
mod file;
mod log;
mod models;
mod output;
mod publish;
mod scaling;
mod sheet;

use std::path::Path;

use burn::tensor::backend::BackendTypes;
use sd_kernels::TrainBackend;

pub use file::{CheckpointSection, DataSection, DiffusionSection, RunFile, TaskKind, Validation};
pub use log::{Entry, Observer};
pub use sheet::contact_sheet;

use crate::{Task, TrainError, Trainer};
use log::Log;
use output::Output;

/// Pictures that show how far a training is, and figures by name.
pub type Shown = (Vec<image::RgbImage>, Vec<(&'static str, f64)>);

/// What a run can show and keep, beside its losses.
pub trait Published<B: TrainBackend>: Task<B> {
    /// Writes the trained weights into a model directory in diffusers' layout, averaged ones if there are.
    ///
    /// # Errors
    /// When they cannot be written.
    fn publish(
        &self,
        averages: Option<&crate::Ema<B::InnerBackend>>,
        model: &Path,
    ) -> Result<(), TrainError>;

    /// Pictures that show how far the training is, and figures by name.
    ///
    /// # Errors
    /// When they cannot be made.
    fn validate(
        &self,
        averages: Option<&crate::Ema<B::InnerBackend>>,
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
    let output = Output::create(file, resume)?;
    match file.task {
        TaskKind::Autoencoder => {
            let task = models::autoencoder::<B>(file, device)?;
            drive(Trainer::new(task, file.train.clone()), file, &output, observer)
        }
        TaskKind::Diffusion => {
            let task = models::diffusion::<B>(file, device)?;
            drive(Trainer::new(task, file.train.clone()), file, &output, observer)
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

fn drive<B: TrainBackend, T: Published<B>>(
    mut trainer: Trainer<B, T>,
    file: &RunFile,
    output: &Output,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    if let Some(state) = output.newest_state()? {
        trainer.resume(&state)?;
        tracing::info!(state = %state.display(), step = trainer.step_index(), "resumed");
    }
    let mut log = Log::open(output, trainer.step_index())?;
    while trainer.step_index() < file.train.steps {
        let report = trainer.step()?;
        let step = trainer.step_index();
        let last = step == file.train.steps;
        if last || step.is_multiple_of(file.log_every.max(1)) {
            observer.entry(log.write(&report, file.train.batch * file.train.accumulate.max(1))?);
        }
        if last || file.validation.every > 0 && step.is_multiple_of(file.validation.every) {
            validate(&trainer, file, output, &mut log)?;
        }
        let stop = observer.stop();
        let due = file.checkpoints.every > 0 && step.is_multiple_of(file.checkpoints.every);
        if last || stop || due {
            trainer.save(output.state(step))?;
            output.keep_newest(file.checkpoints.keep)?;
        }
        if stop && !last {
            return Ok(Ended::Stopped);
        }
    }
    let model = output.model(file)?;
    trainer.task().publish(trainer.averages(), &model)?;
    Ok(Ended::Finished)
}

fn validate<B: TrainBackend, T: Published<B>>(
    trainer: &Trainer<B, T>,
    file: &RunFile,
    output: &Output,
    log: &mut Log,
) -> Result<(), TrainError> {
    let step = trainer.step_index();
    let shown = trainer.task().validate(trainer.averages(), &file.validation);
    let (pictures, figures) = match shown {
        // A model that has learned little may make no pictures yet.
        Err(TrainError::Pipeline(error @ sd_core::Error::NotFinite { .. })) => {
            tracing::warn!(step, %error, "no pictures");
            return Ok(());
        }
        shown => shown?,
    };
    if !pictures.is_empty() {
        let sheet = contact_sheet(&pictures, file.validation.columns);
        sd_core::save_png(&sheet, &format!("step {step}"), &output.sheet(step))?;
    }
    log.figures(step, &figures)?;
    curve::draw(&log.losses()?, &output.curve())
}
