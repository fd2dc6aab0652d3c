//! The directory that a run fills.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Resume, RunFile};
use crate::TrainError;

const STATE: &str = "state-";
const SUFFIX: &str = ".safetensors";

/// Paths inside the output directory.
pub(super) struct Output {
    directory: PathBuf,
    states: PathBuf,
}

impl Output {
    /// Makes the directory. A run that begins does not overwrite another.
    pub(super) fn create(file: &RunFile, resume: Resume) -> Result<Self, TrainError> {
        let directory = file.output.clone();
        let this = Self { states: directory.join("states"), directory };
        for path in [&this.states, &this.directory.join("sheets")] {
            fs::create_dir_all(path).map_err(TrainError::io("write", path))?;
        }
        match this.newest_state()? {
            Some(state) if resume == Resume::No => Err(TrainError::State {
                path: state,
                message: "a run was begun here: resume it, or give another output".into(),
            }),
            _ => Ok(this),
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log.jsonl")
    }

    pub(super) fn curve(&self) -> PathBuf {
        self.directory.join("loss.svg")
    }

    pub(super) fn sheet(&self, step: u64) -> PathBuf {
        self.directory.join("sheets").join(format!("{step:08}.png"))
    }

    pub(super) fn state(&self, step: u64) -> PathBuf {
        self.states.join(format!("{STATE}{step:08}{SUFFIX}"))
    }

    /// States by step, oldest first.
    fn states(&self) -> Result<Vec<PathBuf>, TrainError> {
        let entries = fs::read_dir(&self.states).map_err(TrainError::io("read", &self.states))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut steps: Vec<u64> = names
            .filter_map(|name| name.strip_prefix(STATE)?.strip_suffix(SUFFIX)?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps.into_iter().map(|step| self.state(step)).collect())
    }

    pub(super) fn newest_state(&self) -> Result<Option<PathBuf>, TrainError> {
        Ok(self.states()?.pop())
    }

    pub(super) fn keep_newest(&self, count: usize) -> Result<(), TrainError> {
        let mut states = self.states()?;
        states.truncate(states.len().saturating_sub(count.max(1)));
        states
            .iter()
            .try_for_each(|path| fs::remove_file(path).map_err(TrainError::io("remove", path)))
    }

    /// The directory of the trained model: everything that the model has, but for weights that will be written.
    pub(super) fn model(&self, file: &RunFile) -> Result<PathBuf, TrainError> {
        let target = self.directory.join("model");
        copy(&file.model, &target)?;
        Ok(target)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), TrainError> {
    fs::create_dir_all(to).map_err(TrainError::io("write", to))?;
    for entry in fs::read_dir(from).map_err(TrainError::io("read", from))? {
        let path = entry.map_err(TrainError::io("read", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => {
                fs::copy(&path, &target).map_err(TrainError::io("write", &target))?;
            }
        }
    }
    Ok(())
}
