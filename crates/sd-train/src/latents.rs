//! Latents of a data set, encoded once.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use burn::tensor::{DType, FloatDType, Tensor, TensorData, backend::Backend};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{FileDtype, SafetensorsFile, TensorToSave, WeightSource, save_file};
use sd_vae::AutoencoderKL;

use crate::{BatchRows, Draws, TrainError, data::Pictures};

/// Pixels of the pictures that are encoded at a time: 16 of 512×512.
const PIXELS: usize = 1 << 22;

/// What makes one table another: metadata of its file.
const KEY: &str = "of";

/// Mean and deviation of the latents of every picture, before scaling, in f32 on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentTable {
    /// `[channels, height, width]`.
    shape: [usize; 3],
    means: Vec<f32>,
    stds: Vec<f32>,
}

impl LatentTable {
    /// Encodes all pictures, or takes them from a file that an earlier run wrote under the same `key`.
    ///
    /// The key is to say which autoencoder and which pictures these are; a file with another one is written anew.
    ///
    /// # Errors
    /// When pictures cannot be read, the autoencoder refuses them, or the file cannot be written.
    pub fn open_or_encode<B: DiffusionBackend>(
        path: &Path,
        key: &str,
        vae: &AutoencoderKL<B>,
        pictures: &Pictures,
        device: &B::Device,
    ) -> Result<Self, TrainError> {
        let count = pictures.folder().len();
        match Self::open(path, key, count) {
            Some(table) => Ok(table),
            None => {
                let table = Self::encode(vae, pictures, device)?;
                table.save(path, key)?;
                Ok(table)
            }
        }
    }

    /// Encodes all pictures.
    ///
    /// # Errors
    /// When pictures cannot be read, or the autoencoder refuses them.
    pub fn encode<B: DiffusionBackend>(
        vae: &AutoencoderKL<B>,
        pictures: &Pictures,
        device: &B::Device,
    ) -> Result<Self, TrainError> {
        let mut table = Self { shape: [0; 3], means: Vec::new(), stds: Vec::new() };
        let indices: Vec<usize> = (0..pictures.folder().len()).collect();
        // Nothing is chosen: pictures whose framing is random have no table.
        let mut choices = Draws::new(0).choices(0, BatchRows::default());
        let [width, height] = pictures.framing().size.map(|side| side as usize);
        let batch = (PIXELS / (width * height).max(1)).max(1);
        for examples in indices.chunks(batch) {
            let images = pictures.batch::<B>(examples, &mut choices, device)?;
            let posterior = vae.encode(images).map_err(|error| TrainError::part("vae", error))?;
            let [_, channels, height, width] = posterior.mean.dims();
            table.shape = [channels, height, width];
            for (values, tensor) in
                [(&mut table.means, posterior.mean.clone()), (&mut table.stds, posterior.std())]
            {
                let data = tensor.cast(FloatDType::F32).try_into_data();
                let data = data.map_err(|error| TrainError::part("vae", error.to_string()))?;
                values.extend(data.iter::<f32>());
            }
        }
        Ok(table)
    }

    /// Mean and deviation of some pictures, `[batch, channels, height, width]`.
    pub fn rows<B: Backend>(
        &self,
        examples: &[usize],
        device: &B::Device,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let [channels, height, width] = self.shape;
        let size = channels * height * width;
        let gather = |values: &[f32]| {
            let rows: Vec<f32> = examples
                .iter()
                .flat_map(|index| values[index * size..][..size].iter().copied())
                .collect();
            let data = TensorData::new(rows, [examples.len(), channels, height, width]);
            Tensor::from_data(data, (device, DType::F32))
        };
        (gather(&self.means), gather(&self.stds))
    }

    fn open(path: &Path, key: &str, count: usize) -> Option<Self> {
        let file = SafetensorsFile::open(path).ok()?;
        if file.metadata().get(KEY).map(String::as_str) != Some(key) {
            tracing::info!(path = %path.display(), "latents of something else, encoded anew");
            return None;
        }
        let shape = file.info("mean")?.shape;
        let [examples, channels, height, width] = shape.as_slice().try_into().ok()?;
        let whole = examples == count && file.info("std")?.shape == shape;
        let read = |name| Some(file.read(name, DType::F32).ok()?.iter::<f32>().collect());
        match whole {
            true => Some(Self {
                shape: [channels, height, width],
                means: read("mean")?,
                stds: read("std")?,
            }),
            false => None,
        }
    }

    fn save(&self, path: &Path, key: &str) -> Result<(), TrainError> {
        let [channels, height, width] = self.shape;
        let count = self.means.len() / (channels * height * width).max(1);
        let tensor = |name: &str, values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            TensorToSave {
                name: name.to_owned(),
                dtype: FileDtype::F32,
                shape: vec![count, channels, height, width],
                bytes: Box::new(move || Ok(Cow::Owned(bytes))),
            }
        };
        let metadata = BTreeMap::from([(KEY.to_owned(), key.to_owned())]);
        let tensors = vec![tensor("mean", &self.means), tensor("std", &self.stds)];
        Ok(save_file(path, tensors, &metadata)?)
    }
}
