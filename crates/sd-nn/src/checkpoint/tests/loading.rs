//! Sources that do not keep what they promise, and dtypes that backends do not have.

use burn::{
    module::Module,
    tensor::{DType, TensorData},
};
use sd_kernels::WeightRole;

use super::*;
use crate::{
    Conv2d, Conv2dConfig, Linear, LinearConfig,
    checkpoint::{
        LoadOptions, LoadReport, MemorySource, TensorInfo, WeightSource, load_module,
        load_module::role,
    },
};

type B = burn_ndarray::NdArray<f32>;

/// One tensor, which it gives as it likes.
struct Lying {
    shape: Vec<usize>,
    given: TensorData,
}

impl WeightSource for Lying {
    fn origin(&self) -> String {
        "a source".into()
    }

    fn names(&self) -> Vec<String> {
        vec!["weight".into()]
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let info = TensorInfo { dtype: Dtype::F32, shape: self.shape.clone() };
        (name == "weight").then_some(info)
    }

    fn read(&self, _: &str, _: DType) -> Result<TensorData, CheckpointError> {
        Ok(self.given.clone())
    }
}

fn linear() -> Linear<B> {
    LinearConfig::new(3, 2).without_bias().init(&Default::default())
}

fn load<M: Module<B>>(
    module: M,
    source: &dyn WeightSource,
    dtype: DType,
) -> Result<(M, LoadReport), CheckpointError> {
    load_module::<B, M>(module, source, &LoadOptions::new(dtype))
}

#[test]
fn what_a_source_gives_is_checked_before_it_is_used() {
    let bytes = |count| TensorData::from_bytes_vec(vec![0; count], [count / 4], DType::F32);
    for (given, told) in [
        (bytes(20), "gave 20 bytes of F32, expected 24 bytes of F32"),
        (bytes(28), "gave 28 bytes of F32, expected 24 bytes of F32"),
        (bytes(0), "gave 0 bytes of F32, expected 24 bytes of F32"),
        (TensorData::new(vec![0f64; 6], [2, 3]), "gave 48 bytes of F64, expected 24 bytes of F32"),
        (TensorData::new(vec![0i32; 6], [2, 3]), "gave 24 bytes of I32, expected 24 bytes of F32"),
        // A shape that the bytes do not have.
        (
            TensorData { bytes: bytes(8).bytes, shape: [2, 3].into(), dtype: DType::F32 },
            "gave 8 bytes of F32, expected 24 bytes of F32",
        ),
    ] {
        let error = load(linear(), &Lying { shape: vec![2, 3], given }, DType::F32).unwrap_err();
        assert!(matches!(error, CheckpointError::ReadMismatch { .. }), "{error}");
        assert_eq!(error.to_string(), format!("a source: reading tensor `weight` {told}"));
    }
}

#[test]
fn convolutions_are_checked_before_they_are_turned() {
    let mut conv: Conv2d<B> = Conv2dConfig::new(2, 3, 3).init(&Default::default());
    conv.bias = None;
    let given = TensorData::new(vec![0f32; 53], [53]);
    let source = Lying { shape: vec![3, 2, 3, 3], given };
    let error = load(conv, &source, DType::F32).unwrap_err();
    assert!(matches!(error, CheckpointError::ReadMismatch { found_bytes: 212, .. }), "{error}");
}

#[test]
fn the_right_bytes_are_taken_in_any_shape_and_alignment() {
    let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
    let bytes = bytemuck::cast_slice(&values).to_vec();
    let given = TensorData::from_bytes_vec(bytes, [6], DType::F32);
    let (layer, _) = load(linear(), &Lying { shape: vec![2, 3], given }, DType::F32).unwrap();
    assert_eq!(layer.weight.dense().to_data(), TensorData::new(values, [2, 3]));
}

#[test]
fn a_dtype_that_the_backend_lacks_is_refused_before_anything_else() {
    let nothing = MemorySource::new("memory");
    for asked in [DType::F16, DType::BF16, DType::I32, DType::Flex32] {
        let error = load(linear(), &nothing, asked).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "memory cannot be loaded as {asked:?}: on this device the backend ndarray has weights in [F32, F64] only"
            )
        );
    }
    let given = TensorData::new(vec![1f64; 6], [2, 3]);
    let (layer, _) = load(linear(), &Lying { shape: vec![2, 3], given }, DType::F64).unwrap();
    assert_eq!(layer.weight.dense().dtype(), DType::F64);
}

#[test]
fn a_table_is_told_by_the_name_of_its_struct() {
    assert_eq!(role(2, Some("Embedding")), WeightRole::Embedding);
    assert_eq!(role(2, Some("Linear")), WeightRole::Linear);
    assert_eq!(role(2, Some("PositionEmbedding")), WeightRole::Linear);
    assert_eq!(role(4, Some("Embedding")), WeightRole::Conv2d);
    assert_eq!(role(1, None), WeightRole::Vector);
}
