//! Weights on their way in and out.

use core::any::Any;
use std::sync::Arc;

use burn::tensor::{DType, TensorData};

use super::{
    super::{Array, reference, suite::Suite},
    epilogues::Parts,
};
use crate::{Conv2dOptions, DiffusionBackend, PackedWeight, Padding, Weight, WeightRole, ops};

/// A packed form that no backend knows.
#[derive(Debug)]
struct Foreign {
    shape: Vec<usize>,
    data: TensorData,
}

impl Foreign {
    fn pack(array: &Array, dtype: DType) -> Arc<dyn PackedWeight> {
        Arc::new(Self { shape: array.shape().to_vec(), data: array.to_data(dtype) })
    }
}

impl PackedWeight for Foreign {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.data.dtype
    }

    fn to_data(&self) -> TensorData {
        self.data.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    use WeightRole::{Conv2d, Embedding, Linear, Vector};
    round_trip::<B, 1>(suite, [7], Vector);
    round_trip::<B, 2>(suite, [5, 3], Linear);
    round_trip::<B, 2>(suite, [17, 32], Linear);
    round_trip::<B, 2>(suite, [9, 4], Embedding);
    round_trip::<B, 4>(suite, [5, 3, 3, 2], Conv2d);
    round_trip::<B, 4>(suite, [16, 1, 1, 8], Conv2d);
    linear(suite);
    conv2d(suite);
}

/// What comes out is what went in, to the bit, whatever float type the checkpoint has.
fn round_trip<B: DiffusionBackend, const D: usize>(
    suite: &mut Suite<B>,
    shape: [usize; D],
    role: WeightRole,
) {
    let dtype = suite.dtype;
    for stored in [DType::F32, DType::F16, DType::BF16] {
        let array = suite.random(&shape).round(stored);
        let expected = array.clone().round(dtype);
        suite.check_that(format!("{role:?} {shape:?} from {stored:?}"), |device| {
            let dense = B::upload_weight::<D>(array.to_data(stored), role, dtype, device);
            same("uploaded", &expected, dtype, &dense.to_data())?;
            let weight = B::pack_weight(dense.clone(), role);
            if weight.dims() != shape || weight.dtype() != dtype {
                return Err(format!("packed as {:?} {:?}", weight.dims(), weight.dtype()));
            }
            same("packed", &expected, dtype, &weight.to_data())?;
            same("unpacked", &expected, dtype, &weight.to_dense(device).to_data())?;
            same("source of the packed", &expected, dtype, &dense.to_data())
        });
    }
}

fn same(what: &str, expected: &Array, dtype: DType, found: &TensorData) -> Result<(), String> {
    if found.dtype != dtype {
        return Err(format!("{what}: expected {dtype:?}, found {:?}", found.dtype));
    }
    let found = Array::from_data(found.clone());
    if found.shape() != expected.shape() {
        return Err(format!("{what}: {:?} became {:?}", expected.shape(), found.shape()));
    }
    let values = expected.values().iter().zip(found.values());
    match values.enumerate().find(|(_, (expected, found))| expected != found) {
        Some((index, (e, f))) => Err(format!("{what}: element {index} is {f}, expected {e}")),
        None => Ok(()),
    }
}

fn linear<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let (dtype, tolerance) = (suite.dtype, suite.tolerances.product);
    let input = suite.random(&[2, 3, 16]);
    let weight = suite.random_weight(&[10, 16]);
    let values = Parts::ALL.values(suite, &[2, 3, 10]);
    let expected = reference::epilogue(&reference::linear(&input, &weight), &values);
    suite.check::<3>("linear of an uploaded and packed weight", tolerance, &expected, |make| {
        let role = WeightRole::Linear;
        let dense = B::upload_weight(weight.to_data(dtype), role, dtype, make.device);
        let weight = B::pack_weight(dense, role);
        ops::linear(make.tensor(&input), &weight, make.epilogue(&values))
    });
    suite.check::<3>("linear of a permuted weight, packed", tolerance, &expected, |make| {
        let weight = B::pack_weight(make.tensor::<2>(&weight), WeightRole::Linear);
        ops::linear(make.tensor(&input), &weight, make.epilogue(&values))
    });
    suite.check::<3>("linear of a foreign packed weight", tolerance, &expected, |make| {
        let weight = Weight::Packed(Foreign::pack(&weight, dtype));
        ops::linear(make.tensor(&input), &weight, make.epilogue(&values))
    });
}

fn conv2d<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let (dtype, tolerance) = (suite.dtype, suite.tolerances.product);
    let options = Conv2dOptions { stride: 1, padding: Padding::same(1) };
    let input = suite.random(&[2, 4, 5, 8]);
    let weight = suite.random_weight(&[6, 3, 3, 8]);
    let values = Parts::ALL.values(suite, &[2, 4, 5, 6]);
    let expected = reference::epilogue(&reference::conv2d(&input, &weight, options), &values);
    suite.check::<4>("conv2d of an uploaded and packed weight", tolerance, &expected, |make| {
        let role = WeightRole::Conv2d;
        let dense = B::upload_weight(weight.to_data(dtype), role, dtype, make.device);
        let weight = B::pack_weight(dense, role);
        ops::conv2d(make.tensor(&input), &weight, options, make.epilogue(&values))
    });
    suite.check::<4>("conv2d of a foreign packed weight", tolerance, &expected, |make| {
        let weight = Weight::Packed(Foreign::pack(&weight, dtype));
        ops::conv2d(make.tensor(&input), &weight, options, make.epilogue(&values))
    });
}
