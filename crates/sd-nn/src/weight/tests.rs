use std::{any::Any, sync::Arc};

use burn::tensor::TensorData;
use sd_kernels::PackedWeight;

use super::*;
use crate::{
    Linear,
    checkpoint::{WeightSource, map_parameters, open_weights, save_module, visit_parameters},
};

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
    WeightParam { role: WeightRole::Linear, pack: None, state: RwLock::new(state) }
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
    // The CPU packs it anew, in its own form.
    match weight.get() {
        Weight::Packed(packed) => assert!(packed.as_any().downcast_ref::<Reversed>().is_none()),
        Weight::Dense(_) => panic!("the CPU packs weights"),
    }
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

/// The packed form of a tensor.
fn reverse(tensor: Tensor<B, 2>) -> Weight<B, 2> {
    let shape = tensor.dims().to_vec();
    let mut values: Vec<f32> = tensor.into_data().to_vec().unwrap();
    values.reverse();
    Weight::Packed(Arc::new(Reversed { shape, values }))
}

/// A weight that was loaded and not used yet.
fn fresh() -> WeightParam<B, 2> {
    let values = TensorData::new(VALUES.to_vec(), [2, 3]);
    let tensor = Tensor::from_data(values, &Default::default());
    WeightParam::from_param(Param::initialized(ParamId::new(), tensor), WeightRole::Linear)
}

fn packed_form(weight: Weight<B, 2>) -> Arc<dyn PackedWeight> {
    match weight {
        Weight::Packed(packed) => packed,
        Weight::Dense(tensor) => panic!("dense: {tensor}"),
    }
}

#[test]
fn a_weight_is_packed_at_its_first_use_and_saved_as_it_was() {
    let weight = fresh();
    let first = packed_form(weight.get_or_pack(|tensor, role| {
        assert_eq!(role, WeightRole::Linear);
        reverse(tensor)
    }));
    assert!(matches!(&*weight.read(), State::Packed { .. }));
    let again = packed_form(weight.get_or_pack(|_, _| panic!("packed twice")));
    assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &packed_form(weight.get())));

    let layer = Linear { weight, bias: None, low_rank: vec![] };
    let scratch = tempfile::tempdir().unwrap();
    save_module::<B, _>(&layer, scratch.path(), "model", &Default::default()).unwrap();
    let saved = open_weights(scratch.path(), None).unwrap().read("weight", DType::F32).unwrap();
    assert_eq!(saved, TensorData::new(VALUES.to_vec(), [2, 3]));
}

#[test]
fn packing_that_panics_loses_nothing() {
    let weight = fresh();
    let pack = || drop(weight.get_or_pack(|_, _| panic!("no memory")));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(pack)).unwrap_err();
    assert_eq!((weight.dims(), values(&weight)), ([2, 3], VALUES.to_vec()));
    assert_eq!(values(&weight.clone()), VALUES);
    packed_form(weight.get_or_pack(|tensor, _| reverse(tensor)));
    assert_eq!(values(&weight), VALUES);
}

#[test]
fn a_weight_can_be_used_while_it_is_being_packed() {
    let weight = fresh();
    let mut inner = None;
    let outer = weight.get_or_pack(|tensor, _| {
        // As a task of the thread pool does that the packing waits for.
        assert_eq!(values(&weight), VALUES);
        inner = Some(weight.get_or_pack(|tensor, _| reverse(tensor)));
        reverse(tensor)
    });
    assert!(Arc::ptr_eq(&packed_form(outer), &packed_form(inner.unwrap())));
}

#[test]
fn threads_that_pack_at_the_same_time_get_the_same_form() {
    let weight = fresh();
    let both = std::sync::Barrier::new(2);
    let pack = || {
        packed_form(weight.get_or_pack(|tensor, _| {
            both.wait();
            reverse(tensor)
        }))
    };
    let [one, two] = std::thread::scope(|scope| {
        [scope.spawn(pack), scope.spawn(pack)].map(|thread| thread.join().unwrap())
    });
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(values(&weight), VALUES);
}

#[test]
fn a_weight_that_is_trained_is_not_packed() {
    type A = burn_autodiff::Autodiff<B>;
    let tensor = Tensor::<A, 2>::ones([2, 3], &Default::default()).require_grad();
    let param = Param::initialized(ParamId::new(), tensor);
    let weight = WeightParam::from_param(param, WeightRole::Linear);
    let form = weight.get_or_pack(|_, _| panic!("packed"));
    assert!(matches!(form, Weight::Dense(tensor) if tensor.is_require_grad()));
}
