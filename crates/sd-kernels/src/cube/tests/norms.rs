//! Group and layer norm, forward and backward.

use burn_cubecl::{CubeRuntime, ops::into_data_sync, tensor::CubeTensor};

use super::{
    super::{
        group_norm::{self, GroupNorm},
        layer_norm::{self, LayerNorm},
    },
    Bench, gradient, sum_axis,
};
use crate::{
    Activation,
    testing::{
        Array,
        reference::{self, Scaling},
    },
};

const EPS: f64 = 1e-3;

fn affine<R: CubeRuntime>(bench: &mut Bench<R>, channels: usize) -> [Array; 2] {
    [(); 2].map(|()| bench.random(&[channels]))
}

pub(super) fn group_norms<R: CubeRuntime>(bench: &mut Bench<R>) {
    let silu = Some(Activation::Silu);
    for (shape, groups, has_affine, activation) in [
        ([2, 5, 3, 6], 3, true, silu),
        ([2, 5, 3, 6], 3, false, None),
        ([3, 1, 1, 8], 2, true, Some(Activation::Gelu)),
        ([1, 9, 7, 24], 2, true, None),
        ([1, 2, 1, 601], 1, true, silu),
        ([2, 17, 2, 12], 12, false, Some(Activation::QuickGelu)),
    ] {
        let input = bench.random(&shape);
        let affine = has_affine.then(|| affine(bench, shape[3]));
        let options = || GroupNorm {
            groups,
            eps: EPS,
            affine: affine.as_ref().map(|affine| affine.each_ref().map(|x| bench.upload(x))),
            activation,
        };
        let run = |input: &Array, affine: Option<[Array; 2]>| {
            let scaling = Scaling { affine, activation, ..Scaling::default() };
            reference::group_norm(input, groups, EPS, &scaling)
        };
        let name = format!("group norm {shape:?} / {groups}");
        let found = group_norm::forward(bench.upload(&input), options());
        bench.check(&name, &run(&input, affine.clone()), found);

        let grad = bench.generator.clone().array(&shape, 0.0, 1.0);
        let found = group_norm::backward(bench.upload(&input), options(), bench.upload(&grad));
        let expected = gradient(&input, &grad, |input| run(input, affine.clone()));
        bench.check(&format!("{name}: input"), &expected, found.input);
        assert_eq!(found.affine.is_some(), has_affine);
        let (Some([weight, bias]), Some([weight_grad, bias_grad])) = (affine, found.affine) else {
            continue;
        };
        let of_weight =
            per_sample(&grad, &input, &weight, |x, w| run(x, Some([w.clone(), bias.clone()])));
        bench.check(&format!("{name}: weight"), &of_weight, weight_grad);
        let of_bias =
            per_sample(&grad, &input, &bias, |x, b| run(x, Some([weight.clone(), b.clone()])));
        bench.check(&format!("{name}: bias"), &of_bias, bias_grad);
    }
}

/// Gradient of a vector for each sample.
fn per_sample(
    grad: &Array,
    input: &Array,
    vector: &Array,
    run: impl Fn(&Array, &Array) -> Array,
) -> Array {
    let [batch, height, width, channels] = input.dims();
    let size = height * width * channels;
    let sample = |array: &Array, index: usize| {
        Array::new(&[1, height, width, channels], array.values()[index * size..][..size].to_vec())
    };
    let gradients = (0..batch).flat_map(|index| {
        let input = sample(input, index);
        let found = gradient(vector, &sample(grad, index), |vector| run(&input, vector));
        found.values().to_vec()
    });
    Array::new(&[batch, channels], gradients.collect())
}

pub(super) fn layer_norms<R: CubeRuntime>(bench: &mut Bench<R>) {
    for (shape, has_affine) in [
        ([2, 3, 6], true),
        ([1, 1, 1], false),
        ([3, 33, 8], true),
        ([1, 2, 301], true),
        ([1, 2, 1100], false),
    ] {
        let input = bench.random(&shape);
        let affine = has_affine.then(|| affine(bench, shape[2]));
        let options = || LayerNorm {
            eps: EPS,
            affine: affine.as_ref().map(|affine| affine.each_ref().map(|x| bench.upload(x))),
        };
        let run = |input: &Array, affine: Option<[Array; 2]>| {
            let scaling = Scaling { affine, ..Scaling::default() };
            reference::layer_norm(input, EPS, &scaling)
        };
        let name = format!("layer norm {shape:?}");
        let found = layer_norm::forward(bench.upload(&input), options());
        bench.check(&name, &run(&input, affine.clone()), found);

        let grad = bench.generator.clone().array(&shape, 0.0, 1.0);
        let found = layer_norm::backward(bench.upload(&input), options(), bench.upload(&grad));
        let expected = gradient(&input, &grad, |input| run(input, affine.clone()));
        bench.check(&format!("{name}: input"), &expected, found.input);
        assert_eq!(found.affine.is_some(), has_affine);
        let (Some([weight, bias]), Some(partial)) = (affine, found.affine) else { continue };
        let expected = [
            gradient(&weight, &grad, |w| run(&input, Some([w.clone(), bias.clone()]))),
            gradient(&bias, &grad, |b| run(&input, Some([weight.clone(), b.clone()]))),
        ];
        for (expected, partial) in expected.into_iter().zip(partial) {
            bench.check_sum(&name, &expected, partial);
        }
    }
    many_rows(bench);
}

/// More rows than blocks have at once.
fn many_rows<R: CubeRuntime>(bench: &mut Bench<R>) {
    let shape = [2, 20_011, 4];
    let (input, grad) = (bench.random(&shape), bench.random(&shape));
    let affine = affine(bench, 4);
    let options = LayerNorm { eps: EPS, affine: Some(affine.each_ref().map(|x| bench.upload(x))) };
    let found = layer_norm::backward(bench.upload(&input), options, bench.upload(&grad));
    let normal = reference::layer_norm(&input, EPS, &Scaling::default());
    let product = normal.values().iter().zip(grad.values()).map(|(x, g)| x * g).collect();
    let sum = |array: &Array| sum_axis::<2>(&array.reshape(&[2 * 20_011, 4]), 0);
    let [weight, bias] = found.affine.unwrap();
    bench.check_sum("weight of many rows", &sum(&Array::new(&shape, product)), weight);
    bench.check_sum("bias of many rows", &sum(&grad), bias);
}

impl<R: CubeRuntime> Bench<R> {
    /// Checks the sum over the blocks of rows.
    fn check_sum(&self, name: &str, expected: &Array, partial: CubeTensor<R>) {
        let partial = Array::from_data(into_data_sync(partial));
        self.check_values(name, expected, &sum_axis::<2>(&partial, 0));
    }
}
