//! The state of a run in one file, from which it goes on to the same numbers.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};
use sd_kernels::TrainBackend;
use sd_nn::checkpoint::{
    AnyTensor, CheckpointError, FileDtype, SafetensorsFile, TensorToSave, WeightSource, save_file,
};
use serde::{Deserialize, Serialize};

use crate::{
    Ema, Task, TrainError, Trainer, optimizer::Slot, row::Row, task::prefix, trainer::TrainOptions,
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

type Rows<I> = BTreeMap<String, Tensor<I, 1>>;

impl<B: TrainBackend, T: Task<B>> Trainer<B, T> {
    /// Writes the state: weights, moments, averages, and how far the run is. The file appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let mut rows = self.weights();
        let mut times = BTreeMap::new();
        for (path, Slot { time, moment_1, moment_2, weight }) in self.optimizer.slots() {
            times.insert(path.to_owned(), time);
            rows.insert(format!("{MOMENT_1}/{path}"), moment_1);
            rows.insert(format!("{MOMENT_2}/{path}"), moment_2);
            rows.insert(format!("{WEIGHT}/{path}"), weight);
        }
        for averages in self.ema.iter().flat_map(|ema| ema.rows()) {
            let averages = averages.tensors().into_iter();
            rows.extend(averages.map(|(path, row)| (format!("{EMA}/{path}"), row)));
        }

        let ema_steps = self.ema.as_ref().map(Ema::steps);
        let numbers = Numbers { step: self.step, options: self.options.clone(), ema_steps, times };
        let numbers = serde_json::to_string(&numbers).unwrap_or_default();
        let metadata = [("format", FORMAT.to_owned()), ("state", numbers)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let tensors = rows.into_iter().map(|(name, row)| to_save(name, row));
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
        let mut weights = Rows::<B::InnerBackend>::new();
        for (name, row) in self.weights() {
            let length = row.dims()[0];
            weights.insert(name.clone(), state.row(&name, length, &device)?);
        }
        let mut slots = BTreeMap::new();
        for (path, time) in numbers.times {
            let Some(weight) = weights.get(&format!("{WEIGHT}/{path}")).cloned() else {
                return Err(state.wrong(format!("`{path}` is no parameter of this run")));
            };
            let length = weight.dims()[0];
            let row = |kind: &str| state.row(&format!("{kind}/{path}"), length, &device);
            let (moment_1, moment_2) = (row(MOMENT_1)?, row(MOMENT_2)?);
            slots.insert(path, Slot { time, moment_1, moment_2, weight });
        }
        let ema = match numbers.ema_steps {
            Some(steps) => {
                let averages = state.averages(&slots, &device)?;
                Some(Ema::restore(self.options.ema_decay, steps, averages))
            }
            None => None,
        };
        // From here on nothing is read any more: a state that is refused leaves the run as it was.
        self.set_weights(&weights)?;
        (self.step, self.ema) = (numbers.step, ema);
        self.optimizer.restore(slots);
        Ok(())
    }

    /// The weights of the models as rows.
    fn weights(&self) -> Rows<B::InnerBackend> {
        let mut rows = Rows::new();
        for (name, part) in self.task.parts() {
            part.visit_parameters(&mut |view| {
                let row = view.tensor().inner().cast(FloatDType::F32).flatten();
                rows.insert(format!("{WEIGHT}/{}{}", prefix(name), view.path()), row);
            });
        }
        rows
    }

    fn set_weights(&mut self, rows: &Rows<B::InnerBackend>) -> Result<(), TrainError> {
        for (name, part) in self.task.parts_mut() {
            part.map_parameters(&mut |path, value| match rows
                .get(&format!("{WEIGHT}/{}{path}", prefix(name)))
            {
                Some(row) => {
                    let dtype = FloatDType::from(value.dtype());
                    let weight = AnyTensor::from_flat(row.clone(), &value.shape());
                    AnyTensor::from_inner(weight.cast(dtype))
                }
                None => value,
            })?;
        }
        Ok(())
    }

    fn device(&self) -> <B::InnerBackend as burn::tensor::backend::BackendTypes>::Device {
        self.weights().values().next().map(Tensor::device).unwrap_or_default()
    }
}

fn to_save<'a, I: Backend>(name: String, row: Tensor<I, 1>) -> TensorToSave<'a> {
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

    /// The average of every weight that has moved.
    fn averages<I: Backend>(
        &self,
        slots: &BTreeMap<String, Slot<I>>,
        device: &I::Device,
    ) -> Result<Option<Row<I>>, TrainError> {
        let mut averages = BTreeMap::new();
        for (path, slot) in slots {
            let length = slot.weight.dims()[0];
            let row = self.row(&format!("{EMA}/{path}"), length, device)?;
            averages.insert(path.clone(), row.into());
        }
        Ok(Row::gather(averages))
    }

    fn row<I: Backend>(
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
