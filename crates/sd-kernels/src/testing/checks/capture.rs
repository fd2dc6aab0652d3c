//! The capture seam.

use core::cell::{Cell, OnceCell};

use burn::tensor::{Tensor, TensorPrimitive, ops::FloatTensor};

use super::super::{Array, reference, suite::Suite};
use crate::{Activation, CaptureKey, DiffusionBackend, Epilogue, Weight, ops};

/// A first run and more with the same key and other inputs, which a backend may replay.
pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let dtype = suite.dtype;
    let key = CaptureKey {
        model: CaptureKey::new_model(),
        inputs: vec![(vec![2, 3, 4], dtype), (vec![2, 3, 5], dtype)],
        variant: 0,
    };
    let weight = suite.random_weight(&[5, 4]);
    // The key promises the same weight, so all runs have the very same tensor.
    let shared = OnceCell::new();
    for pass in ["first", "second", "third"] {
        let input = suite.random(&[2, 3, 4]);
        let residual = suite.random(&[2, 3, 5]);
        let expected = expected(&input, &weight, &residual);
        let calls = Cell::new(0);
        suite.check_dense::<3>(
            format!("capture, {pass} run"),
            suite.tolerances.product,
            &expected,
            |make| {
                let weight = shared.get_or_init(|| make.weight(&weight));
                let inputs = vec![
                    primitive(make.tensor::<3>(&input)),
                    primitive(make.tensor::<3>(&residual)),
                ];
                let mut outputs = B::capture(&key, inputs, |inputs| {
                    calls.set(calls.get() + 1);
                    forward(inputs, weight)
                });
                assert_eq!(outputs.len(), 1, "outputs of the captured forward");
                Tensor::from_primitive(TensorPrimitive::Float(outputs.remove(0)))
            },
        );
        suite.check_that(format!("capture, calls of the {pass} run"), |_| {
            match (pass, calls.get()) {
                ("first", 1) | ("second" | "third", 0 | 1) => Ok(()),
                (_, calls) => Err(format!("the forward was called {calls} times")),
            }
        });
    }
}

fn expected(input: &Array, weight: &Array, residual: &Array) -> Array {
    let epilogue = reference::EpilogueValues {
        activation: Some(Activation::Silu),
        residual: Some(residual.clone()),
        ..Default::default()
    };
    reference::epilogue(&reference::linear(input, weight), &epilogue)
}

fn forward<B: DiffusionBackend>(
    inputs: Vec<FloatTensor<B>>,
    weight: &Weight<B, 2>,
) -> Vec<FloatTensor<B>> {
    let mut inputs = inputs
        .into_iter()
        .map(|input| Tensor::<B, 3>::from_primitive(TensorPrimitive::Float(input)));
    let (Some(input), Some(residual)) = (inputs.next(), inputs.next()) else {
        panic!("the captured forward was given fewer inputs than `capture`");
    };
    let epilogue = Epilogue::new().activation(Activation::Silu).residual(Some(residual));
    vec![primitive(ops::linear(input, weight, epilogue))]
}

fn primitive<B: DiffusionBackend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
