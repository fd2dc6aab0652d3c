//! The steps of a run, with what is written on the way.

use burn::tensor::backend::BackendTypes;
use sd_kernels::TrainBackend;

use super::{Ended, Observer, Published, RunFile, contact_sheet, curve, log::Log, output::Output};
use crate::{TrainError, Trainer};

/// What makes the task of a run, with its models on a device.
pub(super) type Build<'a, B, T> =
    dyn Fn(&<B as BackendTypes>::Device) -> Result<T, TrainError> + Sync + 'a;

/// A run, whatever is trained in it.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) file: &'a RunFile,
    pub(super) output: &'a Output,
}

impl Run<'_> {
    /// Makes it, on one device or on several.
    pub(super) fn on<B: TrainBackend, T: Published<B>>(
        self,
        devices: &[<B as BackendTypes>::Device],
        observer: &mut dyn Observer,
        build: &Build<'_, B, T>,
    ) -> Result<Ended, TrainError> {
        match devices {
            [device] => {
                let mut trainer = Trainer::new(build(device)?, self.file.train.clone());
                self.begin(&mut trainer)?;
                self.lead(trainer, observer)
            }
            #[cfg(feature = "collective")]
            devices => self.together(devices, observer, build),
            #[cfg(not(feature = "collective"))]
            devices => Err(TrainError::NoCollective { devices: devices.len() }),
        }
    }

    /// Takes the newest state, if there is one.
    pub(super) fn begin<B: TrainBackend, T: Published<B>>(
        self,
        trainer: &mut Trainer<B, T>,
    ) -> Result<(), TrainError> {
        trainer.compute_in(self.file.dtype)?;
        if let Some(state) = self.output.newest_state()? {
            trainer.resume(&state)?;
            tracing::info!(state = %state.display(), step = trainer.step_index(), "resumed");
        }
        Ok(())
    }

    /// Makes the steps that are left, with what is written on the way, and publishes the model.
    pub(super) fn lead<B: TrainBackend, T: Published<B>>(
        self,
        mut trainer: Trainer<B, T>,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        let Self { file, output } = self;
        let mut log = Log::open(output, trainer.step_index())?;
        while trainer.step_index() < file.train.steps {
            let report = trainer.step()?;
            let step = trainer.step_index();
            let last = step == file.train.steps;
            if last || step.is_multiple_of(file.log_every.max(1)) {
                let pictures = file.train.batch * file.train.accumulate.max(1);
                observer.entry(log.write(&report, pictures)?);
            }
            if last || file.validation.every > 0 && step.is_multiple_of(file.validation.every) {
                self.validate(&trainer, &mut log)?;
            }
            let stop = observer.stop();
            let due = file.checkpoints.every > 0 && step.is_multiple_of(file.checkpoints.every);
            if last || stop || due {
                // States from before a fault are what there is to go on from: it must not take their place.
                report.check()?;
                trainer.save(output.state(step))?;
                output.keep_newest(file.checkpoints.keep)?;
            }
            if stop && !last {
                return Ok(Ended::Stopped);
            }
        }
        let trained: Vec<&str> = trainer.task().parts().iter().map(|(name, _)| *name).collect();
        let model = output.model(file, &trained)?;
        trainer.task().publish(&trainer.trained(), &model, file.publish_as.dtype())?;
        Ok(Ended::Finished)
    }

    fn validate<B: TrainBackend, T: Published<B>>(
        self,
        trainer: &Trainer<B, T>,
        log: &mut Log,
    ) -> Result<(), TrainError> {
        let Self { file, output } = self;
        let step = trainer.step_index();
        let shown = trainer.task().validate(&trainer.trained(), &file.validation);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::toy::{self, Toy};

    #[test]
    fn a_state_that_is_no_number_takes_the_place_of_none() {
        let directory = tempfile::tempdir().unwrap();
        let (file, output) = toy::file(directory.path());
        // From the third step on the loss is zero, with a gradient that is no number.
        let task = Toy::new(|share, weight| {
            Ok(if share.step < 2 { weight } else { (weight * 0.0).sqrt() })
        });
        let trainer = Trainer::new(task, file.train.clone());
        let run = Run { file: &file, output: &output };
        let error = run.lead(trainer, &mut ()).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { step: 2, .. }), "{error}");
        assert!(error.to_string().contains("norm of the gradients is NaN"), "{error}");
        assert_eq!(output.newest_state().unwrap(), Some(output.state(2)));
    }
}
