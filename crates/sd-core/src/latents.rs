//! Latents on the host, and their files.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use sd_nn::checkpoint::{SafetensorsFile, WeightSource};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Error, request::RequestError};

/// Name of the tensor in a file of latents.
const NAME: &str = "latents";

/// Latents as plain data, `[batch, channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Latents {
    shape: [usize; 4],
    values: Vec<f32>,
}

/// Latents as they are read, before anyone has counted the values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    shape: [usize; 4],
    values: Vec<f32>,
}

impl TryFrom<Unchecked> for Latents {
    type Error = LatentsError;

    fn try_from(Unchecked { shape, values }: Unchecked) -> Result<Self, LatentsError> {
        Self::new(shape, values)
    }
}

/// Why data is no latents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LatentsError {
    /// Another number of values than the shape says.
    #[error("latents of shape {shape:?} need {expected} values, found {found}")]
    Length {
        /// The shape.
        shape: [usize; 4],
        /// Its product.
        expected: usize,
        /// How many values there are.
        found: usize,
    },
    /// A file without the tensor.
    #[error("{origin}: no tensor \"latents\", found: {}", found.join(", "))]
    Missing {
        /// The file.
        origin: String,
        /// What it has.
        found: Vec<String>,
    },
    /// Another number of dimensions.
    #[error("{origin}: \"latents\" is {found:?}, expected [batch, channels, height, width]")]
    Rank {
        /// The file.
        origin: String,
        /// The shape.
        found: Vec<usize>,
    },
    /// Not floats.
    #[error("{origin}: \"latents\" has dtype {found}, expected F32, F16, BF16 or F64")]
    Dtype {
        /// The file.
        origin: String,
        /// The dtype.
        found: String,
    },
}

impl Latents {
    /// Latents of a shape, in row-major order.
    ///
    /// # Errors
    /// When there is another number of values.
    pub fn new(shape: [usize; 4], values: Vec<f32>) -> Result<Self, LatentsError> {
        let expected = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        match expected {
            Some(expected) if expected == values.len() => Ok(Self { shape, values }),
            _ => Err(LatentsError::Length {
                shape,
                expected: expected.unwrap_or(usize::MAX),
                found: values.len(),
            }),
        }
    }

    /// `[batch, channels, height, width]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Reads tensor `latents` of a safetensors file.
    ///
    /// # Errors
    /// When the file is none, or has no such tensor of four dimensions and a float dtype.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = SafetensorsFile::open(path)?;
        let origin = file.origin();
        let failed = |error: LatentsError| Error::component("latents", error);
        let info = file.info(NAME).ok_or_else(|| {
            failed(LatentsError::Missing { origin: origin.clone(), found: file.names() })
        })?;
        let shape: [usize; 4] = info.shape.as_slice().try_into().map_err(|_| {
            failed(LatentsError::Rank { origin: origin.clone(), found: info.shape.clone() })
        })?;
        let data = file.read(NAME, DType::F32)?;
        if data.dtype != DType::F32 {
            let found = format!("{:?}", info.dtype);
            return Err(failed(LatentsError::Dtype { origin, found }));
        }
        Self::new(shape, data.iter::<f32>().collect()).map_err(failed)
    }

    /// Writes tensor `latents` to a safetensors file, which appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let encode = |error: safetensors::SafeTensorError| Error::Encode {
            path: path.into(),
            message: error.to_string(),
        };
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            self.shape.to_vec(),
            &bytes,
        );
        let file = safetensors::serialize([(NAME, view.map_err(encode)?)], None).map_err(encode)?;
        crate::output::write_atomically(path, &file)
    }

    /// Reads latents back from a device.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn from_tensor<B: Backend>(tensor: Tensor<B, 4>) -> Result<Self, Error> {
        let shape = tensor.dims();
        let data = tensor.try_into_data().map_err(|error| Error::Device(error.to_string()))?;
        Ok(Self { shape, values: data.iter::<f32>().collect() })
    }

    /// Brings them to a device, in f32.
    pub fn to_tensor<B: Backend>(&self, device: &B::Device) -> Tensor<B, 4> {
        let data = TensorData::new(self.values.clone(), self.shape);
        Tensor::from_data(data, (device, DType::F32))
    }

    /// Checks shape and values of latents to start a run from.
    pub(crate) fn check(&self, expected: [usize; 4]) -> Result<(), RequestError> {
        if self.shape != expected {
            return Err(RequestError::LatentShape { expected, found: self.shape });
        }
        match self.values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(RequestError::LatentValue { index }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latents.safetensors");
        let latents = Latents::new([1, 2, 1, 2], vec![0.5, -1.0, 2.0, 3.0]).unwrap();
        latents.save(&path).unwrap();
        assert_eq!(Latents::load(&path).unwrap(), latents);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Latents::new([1, 2, 3, 4], vec![0.0; 23]).is_err());
        assert!(Latents::new([usize::MAX, 2, 3, 4], vec![]).is_err());
        let latents = Latents::new([1, 1, 1, 2], vec![0.0, f32::NAN]).unwrap();
        assert_eq!(latents.check([1, 1, 1, 2]), Err(RequestError::LatentValue { index: 1 }));
        assert!(latents.check([1, 1, 2, 1]).is_err());
    }
}
