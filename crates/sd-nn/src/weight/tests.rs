use std::{any::Any, sync::Arc};

use burn::tensor::TensorData;
use sd_kernels::PackedWeight;

use super::*;
use crate::checkpoint::{map_parameters, visit_parameters};

type B = burn_ndarray::NdArray<f32>;

/// A form of which the operations know nothing: the values in reverse.
#[derive(Debug)]
struct Reversed {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl PackedWeight for Reversed {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn to_data(&self) -> TensorData {
        let values: Vec<f32> = self.values.iter().rev().copied().collect();
        TensorData::new(values, self.shape.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn packed() -> WeightParam<B, 2> {
    let weight = Reversed { shape: vec![2, 3], values: vec![6., 5., 4., 3., 2., 1.] };
    let weight = Weight::Packed(Arc::new(weight));
    let state = State::Packed { id: ParamId::new(), weight, device: Default::default() };
    WeightParam { role: WeightRole::Linear, state: RwLock::new(state) }
}

fn values(weight: &WeightParam<B, 2>) -> Vec<f32> {
    weight.dense().into_data().to_vec().unwrap()
}

const VALUES: [f32; 6] = [1., 2., 3., 4., 5., 6.];

#[test]
fn a_packed_weight_is_one_parameter_in_checkpoint_order() {
    let weight = packed();
    assert_eq!((weight.dims(), values(&weight)), ([2, 3], VALUES.to_vec()));
    let mut seen = Vec::new();
    visit_parameters::<B, _>(&weight, &mut |view| {
        seen.push((view.shape().to_vec(), view.tensor().try_into_data().unwrap()));
    });
    assert_eq!(seen, [(vec![2, 3], TensorData::new(VALUES.to_vec(), [2, 3]))]);
    assert!(matches!(weight.get(), Weight::Packed(_)));
}

#[test]
fn changing_a_packed_weight_leaves_a_fresh_parameter() {
    let mut weight = packed();
    map_parameters(&mut weight, &mut |_, tensor| (tensor.into_tensor::<2>().unwrap() * 2.0).into())
        .unwrap();
    assert!(matches!(&*weight.read(), State::Fresh(_)));
    assert_eq!(values(&weight), VALUES.map(|value| 2.0 * value));
    assert!(matches!(weight.get(), Weight::Dense(_)));
    assert_eq!(values(&weight), VALUES.map(|value| 2.0 * value));
}

#[test]
fn a_packed_weight_survives_clones_records_and_moves() {
    let weight = packed();
    assert_eq!(values(&weight.clone()), VALUES);
    assert_eq!(values(&weight.clone().to_device(&Default::default())), VALUES);
    let empty = WeightParam::<B, 2>::uniform([2, 3], 3, WeightRole::Linear, &Default::default());
    assert_eq!(values(&empty.load_record(weight.into_record())), VALUES);
}

#[test]
fn the_form_is_chosen_once_and_the_value_stays() {
    let weight = WeightParam::<B, 2>::uniform([4, 3], 3, WeightRole::Linear, &Default::default());
    let before = values(&weight);
    weight.get();
    assert!(!matches!(&*weight.read(), State::Fresh(_)));
    assert_eq!(weight.get().to_data().to_vec::<f32>().unwrap(), before);
    assert_eq!(values(&weight), before);
}
