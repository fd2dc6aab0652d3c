//! The directory that a run fills.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Resume, RunFile};
use crate::TrainError;

const STATE: &str = "state-";
const SUFFIX: &str = ".safetensors";

/// How the names of files with weights end.
const WEIGHT_ENDS: [&str; 10] =
    [".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5", ".onnx", ".gguf"];

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
        self.directory.join("loss.png")
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

    /// The directory of the trained model, with everything that the model has but the weights of the parts that are trained:
    /// old ones, in whatever format and variant, could be taken for new ones.
    pub(super) fn model(&self, file: &RunFile, trained: &[&str]) -> Result<PathBuf, TrainError> {
        let target = self.directory.join("model");
        fs::create_dir_all(&target).map_err(TrainError::io("write", &target))?;
        let known = |path: &Path| fs::canonicalize(path).map_err(TrainError::io("read", path));
        let own = [known(&self.directory)?, known(&target)?];
        if known(&file.model)? == own[1] {
            return Ok(target);
        }
        copy(&file.model, &target, &own, &|path: &Path| {
            let part = path.strip_prefix(&file.model).ok().and_then(|path| path.iter().next());
            !(trained.iter().any(|name| part == Some(name.as_ref())) && is_weights(path))
        })?;
        Ok(target)
    }
}

/// Whether a file has weights in it, by its name, or lists the files that have.
fn is_weights(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let index = name.ends_with(".json") && name.contains(".index.");
    index || WEIGHT_ENDS.iter().any(|end| name.ends_with(end))
}

/// Copies what is wanted of a directory, but for the directories `own`, which may lie inside it.
fn copy(
    from: &Path,
    to: &Path,
    own: &[PathBuf],
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), TrainError> {
    fs::create_dir_all(to).map_err(TrainError::io("write", to))?;
    for entry in fs::read_dir(from).map_err(TrainError::io("read", from))? {
        let path = entry.map_err(TrainError::io("read", from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            let known = fs::canonicalize(&path).map_err(TrainError::io("read", &path))?;
            if !own.contains(&known) {
                copy(&path, &target, own, wanted)?;
            }
        } else if wanted(&path) {
            fs::copy(&path, &target).map_err(TrainError::io("write", &target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files below a directory, as relative paths.
    fn files(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![directory.to_path_buf()];
        while let Some(next) = left.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        found.push(path.strip_prefix(directory).unwrap().display().to_string())
                    }
                }
            }
        }
        found.sort();
        found
    }

    fn run_file(directory: &Path, output: &str) -> RunFile {
        let text = format!(
            "task = 'diffusion'\nmodel = 'model'\noutput = '{output}'\n\
             [data]\nfolder = 'data'\nframing = {{ size = [8, 8] }}\n"
        );
        fs::write(directory.join("run.toml"), text).unwrap();
        RunFile::open(directory.join("run.toml")).unwrap()
    }

    fn model(directory: &Path) {
        for file in [
            "model_index.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
            "vae/diffusion_pytorch_model.safetensors",
        ] {
            let path = directory.join("model").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    }

    const WITHOUT_UNET: [&str; 3] =
        ["model_index.json", "unet/config.json", "vae/diffusion_pytorch_model.safetensors"];

    #[test]
    fn old_weights_of_trained_parts_are_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        model(directory.path());
        let file = run_file(directory.path(), "out");
        let output = Output::create(&file, Resume::No).unwrap();
        let target = output.model(&file, &["unet"]).unwrap();
        assert_eq!(files(&target), WITHOUT_UNET);
    }

    #[test]
    fn an_output_inside_the_model_is_not_copied_into_itself() {
        let directory = tempfile::tempdir().unwrap();
        model(directory.path());
        let file = run_file(directory.path(), "model/runs/first");
        let output = Output::create(&file, Resume::No).unwrap();
        let target = output.model(&file, &["unet"]).unwrap();
        assert_eq!(files(&target), WITHOUT_UNET);
        // A model that lies where it is to go stays what it is.
        let file = RunFile { model: target.clone(), ..file };
        assert_eq!(output.model(&file, &["unet"]).unwrap(), target);
        assert_eq!(files(&target), WITHOUT_UNET);
        assert_eq!(
            fs::read_to_string(target.join("unet/config.json")).unwrap(),
            "unet/config.json"
        );
    }
}
