//! The default bodies differentiate, and to the right gradient.

use burn::tensor::{DType, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_ndarray::NdArray;
use sd_kernels::{
    Activation, Affine, AttentionMask, AttentionOptions, Channels, Conv2dOptions, ConvInput,
    Epilogue, GroupNormOptions, Heads, LayerNormOptions, Modulation, Padding, TrainBackend, Weight,
    ops, testing::Generator,
};

type B = Autodiff<NdArray<f64>>;

/// What a trainer asks of its backend, these are.
const _: fn() = || {
    fn trains<B: TrainBackend>() {}
    trains::<B>();
};

/// Cuts the inputs of an operation out of one vector, so that one gradient covers all of them.
struct Inputs {
    values: Tensor<B, 1>,
    taken: usize,
}

impl Inputs {
    fn take<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<B, D> {
        let count = shape.iter().product();
        let part = self.values.clone().narrow(0, self.taken, count);
        self.taken += count;
        part.reshape(shape)
    }
}

fn vector(values: &[f64]) -> Tensor<B, 1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&Default::default(), DType::F64))
}

/// A fixed projection of an operation's output to one number.
fn loss<const D: usize>(
    values: Tensor<B, 1>,
    run: &impl Fn(&mut Inputs) -> Tensor<B, D>,
) -> Tensor<B, 1> {
    let mut inputs = Inputs { values, taken: 0 };
    let output = run(&mut inputs);
    assert_eq!(inputs.taken, inputs.values.dims()[0], "elements that the operation reads");
    let weights = Generator::new(99).array(&output.dims(), 0.0, 1.0);
    (output * weights.to_tensor(&Default::default(), DType::F64)).sum()
}

/// Compares the gradient with central differences.
fn check<const D: usize>(count: usize, run: impl Fn(&mut Inputs) -> Tensor<B, D>) {
    const STEP: f64 = 1e-5;
    let values = Generator::new(5).array(&[count], 0.1, 1.0).values().to_vec();
    let leaf = vector(&values).require_grad();
    let gradients = loss(leaf.clone(), &run).backward();
    let gradient = leaf.grad(&gradients).unwrap().into_data().to_vec::<f64>().unwrap();
    let largest = gradient.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    assert!(largest > 1e-3, "the gradient vanishes");
    for index in 0..count {
        let at = |step: f64| {
            let mut moved = values.clone();
            moved[index] += step;
            loss(vector(&moved), &run).into_scalar()
        };
        let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let found = gradient[index];
        assert!(
            (expected - found).abs() < 1e-6 * largest,
            "element {index}: expected {expected}, found {found}"
        );
    }
}

/// Burn 0.21's own gelu has the gradient of the tanh form, which is off by up to 1e-3; see `sentinels.rs`.
#[test]
fn gelu_has_the_exact_gradient() {
    let points: Vec<f64> = (-40..=40).map(|index| f64::from(index) * 0.1).collect();
    let x = vector(&points).require_grad();
    let y = ops::epilogue(x.clone(), Epilogue::new().activation(Activation::Gelu));
    let gradients = y.sum().backward();
    let found = x.grad(&gradients).unwrap().into_data().to_vec::<f64>().unwrap();
    for (x, found) in points.iter().zip(found) {
        let density = (-x * x / 2.0).exp() / core::f64::consts::TAU.sqrt();
        let expected = 0.5 * libm::erfc(-x / core::f64::consts::SQRT_2) + x * density;
        assert!((expected - found).abs() < 1e-9, "at {x}: expected {expected}, found {found}");
    }
}

#[test]
fn activations() {
    for activation in [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Relu,
        Activation::Tanh,
    ] {
        check(12, |inputs| {
            ops::epilogue(inputs.take([1, 2, 6]), Epilogue::new().gated(activation))
        });
    }
}

#[test]
fn linear_with_its_epilogue() {
    check(12 + 24 + 8 + 18 + 8 + 16, |inputs| {
        let (input, weight) = (inputs.take([2, 2, 3]), Weight::from(inputs.take([8, 3])));
        let epilogue = Epilogue::new()
            .bias(Some(inputs.take([8])))
            .channel_add(Some(Channels { projection: inputs.take([2, 9]), offset: 1 }))
            .gated(Activation::Gelu)
            .channel_mul(Some(inputs.take([2, 4]).into()))
            .scale(0.7)
            .residual(Some(inputs.take([2, 2, 4])))
            .output_scale(1.3);
        ops::linear(input, &weight, epilogue)
    });
}

#[test]
fn conv2d() {
    let geometries = [
        Conv2dOptions { stride: 1, padding: Padding::same(1) },
        Conv2dOptions { stride: 2, padding: Padding::end(1) },
    ];
    for options in geometries {
        check(24 + 72 + 4, |inputs| {
            let (input, weight) = (inputs.take([1, 3, 4, 2]), inputs.take([4, 3, 3, 2]));
            let epilogue = Epilogue::new().bias(Some(inputs.take([4]))).gated(Activation::Silu);
            ops::conv2d(input, &Weight::from(weight), options, epilogue)
        });
    }
}

#[test]
fn conv2d_of_an_upsampled_pair() {
    let options = Conv2dOptions { stride: 1, padding: Padding::same(1) };
    check(8 + 4 + 54, |inputs| {
        let input = ConvInput {
            upsample: Some([3, 5]),
            ..ConvInput::pair(inputs.take([1, 2, 2, 2]), inputs.take([1, 2, 2, 1]))
        };
        ops::conv2d(input, &Weight::from(inputs.take([2, 3, 3, 3])), options, Epilogue::new())
    });
}

#[test]
fn group_norm() {
    check(48 + 6 + 6 + 12 + 12, |inputs| {
        let input = inputs.take([2, 2, 2, 6]);
        let affine = Some(Affine { weight: inputs.take([6]), bias: inputs.take([6]) });
        let modulation = Some(Modulation {
            scale: inputs.take([2, 6]).into(),
            shift: inputs.take([2, 6]).into(),
        });
        let activation = Some(Activation::Silu);
        ops::group_norm(
            input,
            GroupNormOptions { groups: 3, eps: 1e-3, affine, modulation, activation },
        )
    });
}

#[test]
fn layer_and_rms_norm() {
    check(24 + 4 + 4 + 8 + 8, |inputs| {
        let input = inputs.take([2, 3, 4]);
        let affine = Some(Affine { weight: inputs.take([4]), bias: inputs.take([4]) });
        let modulation = Some(Modulation {
            scale: inputs.take([2, 4]).into(),
            shift: inputs.take([2, 4]).into(),
        });
        ops::layer_norm(input, LayerNormOptions { eps: 1e-3, affine, modulation })
    });
    check(24 + 4, |inputs| ops::rms_norm(inputs.take([2, 3, 4]), inputs.take([4]), 1e-3));
}

#[test]
fn attention() {
    check(2 * 3 * 14, |inputs| {
        let all = inputs.take([2, 3, 14]);
        let view = |offset| Heads { projection: all.clone(), offset };
        ops::attention(view(1), view(5), view(9), AttentionOptions::new(2, 2))
    });
}

#[test]
fn attention_with_masks() {
    check(12 + 16 + 16, |inputs| {
        let (query, key, value) =
            (inputs.take([1, 3, 4]), inputs.take([1, 4, 4]), inputs.take([1, 4, 4]));
        let options = AttentionOptions::new(2, 2).mask(AttentionMask::Causal);
        ops::attention(query, key, value, options)
    });
    check(12 + 16 + 16 + 24, |inputs| {
        let (query, key, value) =
            (inputs.take([1, 3, 4]), inputs.take([1, 4, 4]), inputs.take([1, 4, 4]));
        let mask = AttentionMask::Additive(inputs.take([1, 2, 3, 4]));
        ops::attention(query, key, value, AttentionOptions::new(2, 2).mask(mask))
    });
}

#[test]
fn linear_combination() {
    check(12, |inputs| {
        ops::linear_combination([(7.5, inputs.take([2, 3])), (-6.5, inputs.take([2, 3]))])
    });
}
