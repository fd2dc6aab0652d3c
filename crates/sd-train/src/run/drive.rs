//! The steps of a run, with what is written on the way.

use sd_kernels::TrainBackend;

use super::{Ended, Observer, Published, RunFile, contact_sheet, curve, log::Log, output::Output};
use crate::{TrainError, Trainer};

/// Makes the steps of a run that are left, and publishes the model.
pub(super) fn drive<B: TrainBackend, T: Published<B>>(
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
    trainer.task().publish(&trainer.trained(), &model)?;
    Ok(Ended::Finished)
}

fn validate<B: TrainBackend, T: Published<B>>(
    trainer: &Trainer<B, T>,
    file: &RunFile,
    output: &Output,
    log: &mut Log,
) -> Result<(), TrainError> {
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

#[cfg(test)]
mod tests {
    use burn::{
        module::{Module, Param},
        tensor::{Tensor, backend::Backend},
    };
    use burn_autodiff::Autodiff;
    use burn_ndarray::NdArray;
    use sd_nn::checkpoint::Parameters;

    use super::*;
    use crate::{
        Losses, Share, Task, TrainedWeights,
        run::{Resume, Shown, Validation},
    };

    type B = Autodiff<NdArray<f32>>;

    #[derive(Module, Debug)]
    struct One<B: Backend> {
        weight: Param<Tensor<B, 1>>,
    }

    sd_nn::impl_parameters!(One);

    /// From the third step on its loss is zero, with a gradient that is no number.
    struct Root(One<B>);

    impl Task<B> for Root {
        fn examples(&self) -> usize {
            1
        }

        fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)> {
            vec![("root", &self.0)]
        }

        fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)> {
            vec![("root", &mut self.0)]
        }

        fn losses(&self, share: Share) -> Result<Losses<B>, TrainError> {
            let weight = self.0.weight.val();
            let total = if share.step < 2 { weight } else { (weight * 0.0).sqrt() };
            Ok(Losses { total, terms: Vec::new() })
        }
    }

    impl Published<B> for Root {
        fn publish(
            &self,
            _: &TrainedWeights<'_, NdArray<f32>>,
            _: &std::path::Path,
        ) -> Result<(), TrainError> {
            Ok(())
        }

        fn validate(
            &self,
            _: &TrainedWeights<'_, NdArray<f32>>,
            _: &Validation,
        ) -> Result<Shown, TrainError> {
            Ok((Vec::new(), Vec::new()))
        }
    }

    #[test]
    fn a_state_that_is_no_number_takes_the_place_of_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.toml");
        let text = "task = 'diffusion'\nmodel = 'model'\noutput = 'out'\nlog_every = 100\n\
            [data]\nfolder = 'data'\nframing = { size = [8, 8] }\n\
            [train]\nsteps = 5\nbatch = 1\n[checkpoints]\nevery = 1\nkeep = 1\n";
        std::fs::write(&path, text).unwrap();
        let file = RunFile::open(&path).unwrap();
        let output = Output::create(&file, Resume::No).unwrap();
        let task = Root(One { weight: Param::from_data([1.0], &Default::default()) });
        let trainer = Trainer::new(task, file.train.clone());
        let error = drive(trainer, &file, &output, &mut ()).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { step: 2, .. }), "{error}");
        assert!(error.to_string().contains("norm of the gradients is NaN"), "{error}");
        assert_eq!(output.newest_state().unwrap(), Some(output.state(2)));
    }
}
