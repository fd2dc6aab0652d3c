//! The state of a run in one file, from which it goes on to the same numbers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Tensor, TensorData, backend::BackendTypes};
use sd_kernels::{DiffusionBackend, TrainBackend};
use sd_nn::checkpoint::{
    CheckpointError, FileDtype, SafetensorsFile, TensorToSave, WeightSource, save_file,
};
use serde::{Deserialize, Serialize};

use crate::{
    Ema, Optimizer, Task, TrainError, Trainer,
    optimizer::Group,
    row::{Layout, Row},
    trainer::TrainOptions,
};

/// What a file says of itself.
const FORMAT: &str = "sd-train 1";

/// The rows of a parameter in a file: `WEIGHT/unet.conv_in.weight` and so on, each flat, in f32, also where models are of 16 bits.
const WEIGHT: &str = "weight";
const MOMENT_1: &str = "moment_1";
const MOMENT_2: &str = "moment_2";
const EMA: &str = "ema";

/// What is no tensor.
#[derive(Debug, Serialize, Deserialize)]
struct Numbers {
    step: u64,
    options: TrainOptions,
    ema_steps: Option<u64>,
    /// Steps of the optimiser by path; those that a parameter was left out of do not count.
    times: BTreeMap<String, usize>,
}

impl<B: TrainBackend, T: Task<B>> Trainer<B, T> {
    /// Writes the state: weights, moments, averages, and how far the run is. The file appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let mut rows = Vec::new();
        let mut times = BTreeMap::new();
        for group in self.optimizer.groups() {
            rows.push((WEIGHT, group.weights().clone()));
            let Some((time, [moment_1, moment_2])) = group.moments() else { continue };
            times.extend(group.weights().layout().paths().map(|path| (path.to_owned(), time)));
            rows.extend([(MOMENT_1, moment_1), (MOMENT_2, moment_2)]);
        }
        let averages = self.ema.iter().flat_map(|ema| ema.rows());
        rows.extend(averages.map(|row| (EMA, row.clone())));

        let ema_steps = self.ema.as_ref().map(Ema::steps);
        let numbers = Numbers { step: self.step, options: self.options.clone(), ema_steps, times };
        let numbers = serde_json::to_string(&numbers).unwrap_or_default();
        let metadata = [("format", FORMAT.to_owned()), ("state", numbers)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let tensors: BTreeMap<String, Tensor<B::InnerBackend, 1>> = rows
            .iter()
            .flat_map(|(kind, row)| {
                row.tensors().into_iter().map(move |(path, row)| (name(kind, &path), row))
            })
            .collect();
        let tensors = tensors.into_iter().map(|(name, row)| to_save(name, row));
        Ok(save_file(path, tensors.collect(), &BTreeMap::from(metadata))?)
    }

    /// Goes on where a saved run was. The task must be the same; of the options only the number of steps may differ.
    ///
    /// # Errors
    /// When the file cannot be read, or is the state of another run; nothing has changed then.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let file = SafetensorsFile::open(&path)?;
        let state = StateFile { path: path.as_ref().into(), file };
        let numbers = state.numbers()?;
        let expected = TrainOptions { steps: numbers.options.steps, ..self.options.clone() };
        if numbers.options != expected {
            return Err(state.wrong("it was made with other options than those of this run"));
        }
        let device = self.device();
        let all = Layout::new(self.optimizer.weights().flat_map(|row| row.layout().lengths()));
        let groups = state.groups(&all, &numbers.times, &device)?;
        let ema = match numbers.ema_steps {
            Some(steps) => {
                let averages = state.read(EMA, &all, &device)?;
                Some(Ema::restore(self.options.ema_decay, steps, averages))
            }
            None => None,
        };
        let mut optimizer = Optimizer::new(self.options.adamw);
        optimizer.restore(groups);
        // From here on nothing is read any more: a state that is refused leaves the run as it was.
        optimizer.write::<B>(self.task.parts_mut(), |_| true)?;
        (self.step, self.optimizer, self.ema) = (numbers.step, optimizer, ema);
        Ok(())
    }

    pub(crate) fn device(&self) -> <B::InnerBackend as BackendTypes>::Device {
        self.optimizer.weights().next().map(|row| row.values().device()).unwrap_or_default()
    }
}

fn name(kind: &str, path: &str) -> String {
    format!("{kind}/{path}")
}

fn to_save<'a, I: DiffusionBackend>(name: String, row: Tensor<I, 1>) -> TensorToSave<'a> {
    let shape = row.dims().to_vec();
    let origin = name.clone();
    TensorToSave {
        name,
        dtype: FileDtype::F32,
        shape,
        bytes: Box::new(move || {
            let data = row.try_into_data().map_err(|error| CheckpointError::Device {
                name: origin,
                message: error.to_string(),
            })?;
            Ok(Cow::Owned(data.bytes.to_vec()))
        }),
    }
}

/// A saved state, whose contents are not trusted.
struct StateFile {
    path: PathBuf,
    file: SafetensorsFile,
}

impl StateFile {
    fn wrong(&self, message: impl Into<String>) -> TrainError {
        TrainError::State { path: self.path.clone(), message: message.into() }
    }

    fn numbers(&self) -> Result<Numbers, TrainError> {
        let metadata = self.file.metadata();
        if metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(
                self.wrong(format!("not the state of a training run (format \"{FORMAT}\")"))
            );
        }
        let state = metadata.get("state").map(String::as_str).unwrap_or_default();
        serde_json::from_str(state).map_err(|error| self.wrong(error.to_string()))
    }

    /// The weights with their moments: those that have made the same steps together, and those that have made none.
    fn groups<I: DiffusionBackend>(
        &self,
        all: &Layout,
        times: &BTreeMap<String, usize>,
        device: &I::Device,
    ) -> Result<Vec<Group<I>>, TrainError> {
        let mut groups = Vec::new();
        let different: BTreeSet<Option<usize>> =
            all.paths().map(|path| times.get(path).copied()).collect();
        for time in different {
            let [layout, _] = all.partition(|path| times.get(path).copied() == time);
            let read = |kind: &str| self.read(kind, &layout, device);
            let moments = match time {
                Some(time) => read(MOMENT_1)?.zip(read(MOMENT_2)?).map(|(a, b)| (time, [a, b])),
                None => None,
            };
            groups.extend(read(WEIGHT)?.map(|weights| Group::new(weights, moments)));
        }
        if let Some(path) = times.keys().find(|path| !all.has(path)) {
            return Err(self.wrong(format!("`{path}` is no parameter of this run")));
        }
        Ok(groups)
    }

    /// What the file has of a kind for these parameters; `None` for none.
    fn read<I: DiffusionBackend>(
        &self,
        kind: &str,
        layout: &Layout,
        device: &I::Device,
    ) -> Result<Option<Row<I>>, TrainError> {
        let mut tensors = BTreeMap::new();
        for (path, length) in layout.lengths() {
            let row: Tensor<I, 1> = self.row(&name(kind, &path), length, device)?;
            tensors.insert(path, row.into());
        }
        Ok(Row::gather(tensors))
    }

    fn row<I: DiffusionBackend>(
        &self,
        name: &str,
        length: usize,
        device: &I::Device,
    ) -> Result<Tensor<I, 1>, TrainError> {
        let Some(info) = self.file.info(name) else {
            return Err(self.wrong(format!("`{name}` is missing")));
        };
        if info.shape != [length] || info.dtype != FileDtype::F32 {
            let found = format!("{:?} {:?}", info.dtype, info.shape);
            return Err(self.wrong(format!("`{name}` is {found}, expected F32 [{length}]")));
        }
        let data: TensorData = self.file.read(name, DType::F32)?;
        Ok(Tensor::from_data(data, (device, DType::F32)))
    }
}
