//! Mappings that panic lose nothing, and what is lost nevertheless is not computed with.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::{
    module::{Module, Param, ParamId},
    tensor::{Shape, Tensor, backend::Backend},
};

use crate::checkpoint::{map_parameters, visit_parameters};

type B = burn_ndarray::NdArray<f32>;

#[derive(Module, Debug)]
struct Three<B: Backend> {
    a: Param<Tensor<B, 1>>,
    b: Param<Tensor<B, 1>>,
    c: Param<Tensor<B, 1>>,
}

fn three() -> Three<B> {
    let param = |value: f32| Param::from_data([value], &Default::default());
    Three { a: param(1.0), b: param(2.0), c: param(3.0) }
}

fn values(module: &Three<B>) -> Vec<f32> {
    let mut values = Vec::new();
    visit_parameters::<B, _>(module, &mut |view| {
        values.push(view.tensor().into_tensor::<1>().unwrap().into_scalar());
    });
    values
}

/// The words with which this panics.
fn panic_of(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).unwrap_or_default()
}

#[test]
fn a_mapping_that_panics_leaves_a_whole_module() {
    let mut module = three();
    let told = panic_of(|| {
        let _ = map_parameters::<B, _>(&mut module, &mut |path, tensor| match path {
            "a" => (tensor.into_tensor::<1>().unwrap() * 10).into(),
            _ => panic!("no b"),
        });
    });
    assert_eq!(told, "no b");
    assert_eq!(values(&module), [10.0, 2.0, 3.0]);
}

#[test]
fn weights_that_are_lost_are_not_replaced_by_others() {
    let mut module = three();
    let init = |_: &_, _| panic!("no memory");
    module.b =
        Param::uninitialized(ParamId::new(), init, Default::default(), false, Shape::new([1]));
    let told = panic_of(|| map_parameters::<B, _>(&mut module, &mut |_, tensor| tensor).unwrap());
    assert_eq!(told, "no memory");
    assert_eq!(module.a.lazy_shape(), Shape::new([1]));
    for lost in [&module.a, &module.c] {
        let told = panic_of(|| drop(lost.val()));
        assert_eq!(told, "the weights were lost when a mapping failed");
    }
}
