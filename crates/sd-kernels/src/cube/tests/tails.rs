//! Sums and epilogues.

use burn::tensor::DType;
use burn_cubecl::CubeRuntime;

use super::{
    super::{
        epilogue::{self, Tail, View},
        row::place,
        sum::sum_positions,
    },
    Bench, gradient, sum_axis,
};
use crate::{
    Activation, Gate,
    testing::{
        Array,
        reference::{self, EpilogueValues},
    },
};

pub(super) fn sums<R: CubeRuntime>(bench: &mut Bench<R>) {
    for shape in [[2, 5, 3], [3, 1, 4], [1, 1000, 100], [2, 257, 37], [70, 3, 1]] {
        let input = bench.random(&shape);
        let expected = sum_axis::<3>(&input, 1);
        bench.check(&format!("sum {shape:?}"), &expected, sum_positions(bench.upload(&input)));
    }
}

pub(super) fn one_row<R: CubeRuntime>(bench: &mut Bench<R>) {
    const LENGTH: usize = 1100;
    let row = bench.upload(&Array::new(&[LENGTH], vec![0.0; LENGTH]));
    let mut expected = vec![0.0; LENGTH];
    for (start, length) in [(0, 5), (256, 300), (1024, 76), (701, 8)] {
        let values = bench.random(&[length]);
        expected[start..start + length].copy_from_slice(values.values());
        place(&row, start, bench.upload(&values));
    }
    bench.check("row", &Array::new(&[LENGTH], expected), row);
}

const ACTIVATIONS: [Option<Activation>; 7] = [
    None,
    Some(Activation::Silu),
    Some(Activation::Gelu),
    Some(Activation::GeluTanh),
    Some(Activation::QuickGelu),
    Some(Activation::Relu),
    Some(Activation::Tanh),
];

fn values(activation: Option<Activation>, gate: Gate) -> EpilogueValues {
    EpilogueValues { activation, gate, ..EpilogueValues::default() }
}

pub(super) fn epilogues<R: CubeRuntime>(bench: &mut Bench<R>) {
    for (index, activation) in ACTIVATIONS.into_iter().enumerate() {
        for (gate, channels, offset) in
            [(Gate::None, 5, 2), (Gate::Pair, 6, 1), (Gate::Pair, 16, 4), (Gate::None, 8, 0)]
        {
            let out = if gate == Gate::Pair { channels / 2 } else { channels };
            let input = bench.random(&[2, 7, channels]);
            let width = offset + channels + 3;
            let projection = bench.random(&[2, width]);
            let view = |count| {
                Array::from_fn([2, count], |[sample, c]| projection.at([sample, offset + c]))
            };
            let all = index % 2 == 0;
            let tail = EpilogueValues {
                bias: Some(bench.random(&[channels])),
                channel_add: all.then(|| view(channels)),
                channel_mul: (!all).then(|| view(out)),
                scale: 0.7,
                residual: all.then(|| bench.random(&[2, 7, out])),
                output_scale: 1.3,
                ..values(activation, gate)
            };
            let view = || View { projection: bench.upload(&projection), offset };
            let kernel = Tail {
                bias: tail.bias.as_ref().map(|bias| bench.upload(bias)),
                channel_add: tail.channel_add.as_ref().map(|_| view()),
                activation,
                gate,
                channel_mul: tail.channel_mul.as_ref().map(|_| view()),
                scale: tail.scale,
                residual: tail.residual.as_ref().map(|residual| bench.upload(residual)),
                output_scale: tail.output_scale,
            };
            let found = epilogue::forward(bench.upload(&input), kernel, DType::F32);
            let expected = reference::epilogue(&input, &tail);
            bench.check(&format!("epilogue {activation:?} {gate:?}"), &expected, found);
        }
    }
}

pub(super) fn activations<R: CubeRuntime>(bench: &mut Bench<R>) {
    for activation in ACTIVATIONS {
        for (gate, channels) in [(Gate::None, 5), (Gate::Pair, 6), (Gate::Pair, 8)] {
            let out = if gate == Gate::Pair { channels / 2 } else { channels };
            let (pre, grad) = (bench.random(&[2, 3, channels]), bench.random(&[2, 3, out]));
            let run = |pre: &Array| reference::epilogue(pre, &values(activation, gate));
            let found = epilogue::activation_backward(
                bench.upload(&pre),
                activation,
                gate,
                bench.upload(&grad),
            );
            let expected = gradient(&pre, &grad, run);
            bench.check(&format!("gradient of {activation:?} {gate:?}"), &expected, found);
        }
    }
}
