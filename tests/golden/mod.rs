//! Reference values of single models, for the tests of the model crates.
//!
//! Not a crate of its own: `#[path = "../../../../tests/golden/mod.rs"] mod golden;`
#![allow(dead_code, reason = "each crate uses its part")]

use std::path::PathBuf;

use burn::tensor::{DType, Tensor, TensorData};
use sd_nn::checkpoint::{SafetensorsFile, WeightSource};

/// The backend that is compared with the references.
pub(crate) type B = burn_ndarray::NdArray<f32>;

/// Largest relative L2 distance of a whole model in f32.
pub(crate) const WHOLE_MODEL: f64 = 1e-5;

/// A file or directory of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// The tensors of one reference file.
pub(crate) struct Golden(SafetensorsFile);

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        Self(SafetensorsFile::open(fixture(name)).unwrap())
    }

    /// Names that start with `prefix`, without it.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.0.names();
        names.iter().filter_map(|name| name.strip_prefix(prefix)).map(Into::into).collect()
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let data = self.0.read(name, DType::F32).unwrap();
        Tensor::from_data(data, &Default::default())
    }

    /// Token ids, row by row.
    pub(crate) fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let data = self.0.read(name, DType::F32).unwrap();
        let ids: Vec<u32> = data.iter::<i64>().map(|id| id.try_into().unwrap()).collect();
        ids.chunks(data.shape[1]).map(<[u32]>::to_vec).collect()
    }

    /// Compares a whole model's result with the tensor of this name.
    #[track_caller]
    pub(crate) fn assert_close<const D: usize>(&self, name: &str, found: Tensor<B, D>) {
        let expected = self.0.read(name, DType::F32).unwrap();
        let found = found.into_data();
        assert_eq!(expected.shape, found.shape, "{name}");
        let error = relative_l2(&expected, &found);
        assert!(error <= WHOLE_MODEL, "{name}: relative L2 {error:.2e}");
    }
}

/// L2 norm of the difference, relative to that of `expected`; infinite when something is not finite.
pub(crate) fn relative_l2(expected: &TensorData, found: &TensorData) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference =
        squares(&mut expected.iter::<f64>().zip(found.iter::<f64>()).map(|(e, f)| e - f));
    let error = difference / squares(&mut expected.iter::<f64>());
    if error.is_finite() { error } else { f64::INFINITY }
}
