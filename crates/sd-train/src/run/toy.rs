//! A task of one number, for tests.

use std::path::Path;

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor, backend::Backend},
};
use burn_autodiff::Autodiff;
use burn_ndarray::NdArray;
use sd_nn::checkpoint::Parameters;

use super::{Output, Published, Resume, RunFile, Shown, Validation};
use crate::{Losses, Share, Task, TrainError, TrainedWeights};

pub(super) type B = Autodiff<NdArray<f32>>;

#[derive(Module, Debug)]
pub(super) struct One<B: Backend> {
    weight: Param<Tensor<B, 1>>,
}

sd_nn::impl_parameters!(One);

type Loss = fn(Share, Tensor<B, 1>) -> Result<Tensor<B, 1>, TrainError>;

/// A number, 1 at first, and its loss. There are six examples.
pub(super) struct Toy {
    number: One<B>,
    loss: Loss,
}

impl Toy {
    pub(super) fn new(loss: Loss) -> Self {
        Self { number: One { weight: Param::from_data([1.0], &Default::default()) }, loss }
    }
}

impl Task<B> for Toy {
    fn examples(&self) -> usize {
        6
    }

    fn parts(&self) -> Vec<(&'static str, &dyn Parameters<B>)> {
        vec![("toy", &self.number)]
    }

    fn parts_mut(&mut self) -> Vec<(&'static str, &mut dyn Parameters<B>)> {
        vec![("toy", &mut self.number)]
    }

    fn losses(&self, share: Share) -> Result<Losses<B>, TrainError> {
        let total = (self.loss)(share, self.number.weight.val())?;
        Ok(Losses { total, terms: Vec::new() })
    }
}

impl Published<B> for Toy {
    fn publish(
        &self,
        _: &TrainedWeights<'_, NdArray<f32>>,
        _: &Path,
        _: DType,
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

/// Five steps with a state after each, of which the last is kept.
pub(super) fn file(directory: &Path) -> (RunFile, Output) {
    let path = directory.join("run.toml");
    let text = "task = 'diffusion'\nmodel = 'model'\noutput = 'out'\nlog_every = 100\n\
        [data]\nfolder = 'data'\nframing = { size = [8, 8] }\n\
        [train]\nsteps = 5\nbatch = 6\n[checkpoints]\nevery = 1\nkeep = 1\n";
    std::fs::create_dir_all(directory.join("model")).unwrap();
    std::fs::write(&path, text).unwrap();
    let file = RunFile::open(&path).unwrap();
    let output = Output::create(&file, Resume::No).unwrap();
    (file, output)
}
