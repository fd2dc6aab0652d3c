//! One case of `tests/fixtures/layers.safetensors`.

use std::{fs::File, path::PathBuf, sync::LazyLock};

use burn::{
    module::Module,
    tensor::{DType, Int, Tensor},
};
use burn_ndarray::NdArray;
use sd_nn::checkpoint::{LoadOptions, Prefixed, SafetensorsFile, WeightSource, load_module};
use serde_json::Value;

pub(crate) type B = NdArray<f32>;

const TOLERANCE: f64 = 1e-4;

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

static TENSORS: LazyLock<SafetensorsFile> =
    LazyLock::new(|| SafetensorsFile::open(fixture("layers.safetensors")).unwrap());
static NUMBERS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_reader(File::open(fixture("layers.json")).unwrap()).unwrap());

/// A case by its name.
pub(crate) struct Case(pub(crate) &'static str);

impl Case {
    /// A number or flag of the case.
    pub(crate) fn value(&self, key: &str) -> &'static Value {
        &NUMBERS[self.0][key]
    }

    pub(crate) fn float(&self, key: &str) -> f64 {
        self.value(key).as_f64().unwrap()
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        self.value(key).as_u64().unwrap() as usize
    }

    /// A tensor as torch has it.
    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let data = TENSORS.read(&format!("{}/{name}", self.0), DType::F32).unwrap();
        Tensor::from_data(data, &Default::default())
    }

    pub(crate) fn integers<const D: usize>(&self, name: &str) -> Tensor<B, D, Int> {
        let data = TENSORS.read(&format!("{}/{name}", self.0), DType::F32).unwrap();
        Tensor::from_data(data, &Default::default())
    }

    /// An image as `[batch, height, width, channels]`.
    pub(crate) fn image(&self, name: &str) -> Tensor<B, 4> {
        self.tensor(name).permute([0, 2, 3, 1])
    }

    /// The module with the case's weights; `prefix` is what the case puts before the module's own keys.
    pub(crate) fn load_from<M: Module<B>>(&self, module: M, prefix: &str) -> M {
        let source = Prefixed::strip(&*TENSORS, format!("{}/weights/{prefix}", self.0));
        let (module, report) = load_module(module, &source, &LoadOptions::new(DType::F32)).unwrap();
        assert!(report.unexpected.is_empty() && report.loaded > 0, "{}: {report:#}", self.0);
        module
    }

    pub(crate) fn load<M: Module<B>>(&self, module: M) -> M {
        self.load_from(module, "")
    }

    /// Holds an output against the reference.
    #[track_caller]
    pub(crate) fn check<const D: usize>(&self, output: Tensor<B, D>) {
        assert_close(self.0, output, self.tensor("output"), TOLERANCE);
    }

    #[track_caller]
    pub(crate) fn check_image(&self, output: Tensor<B, 4>) {
        self.check(output.permute([0, 3, 1, 2]));
    }
}

/// Largest error at most `tolerance` of the largest reference value.
#[track_caller]
pub(crate) fn assert_close<const D: usize>(
    name: &str,
    found: Tensor<B, D>,
    expected: Tensor<B, D>,
    tolerance: f64,
) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let values = |tensor: Tensor<B, D>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = (found - expected).abs();
        // Written so that a NaN fails.
        let close = error <= tolerance * largest;
        assert!(close, "{name}: element {index} is {found}, expected {expected}");
    }
}
