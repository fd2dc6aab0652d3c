//! The operations' own gradients, held against those that burn-autodiff finds for the default bodies.

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_autodiff::Autodiff;
use sd_kernels::{
    Activation, Affine, AttentionMask, AttentionOptions, Channels, Conv2dOptions, ConvInput,
    DiffusionBackend, Epilogue, GroupNormOptions, Heads, LayerNormOptions, Padding, Weight,
    default, ops,
    testing::{Array, Generator, Measure, error},
};

/// The tensors of an operation.
struct Given<B: Backend> {
    tensors: Vec<Tensor<B, 1>>,
}

impl<B: Backend> Given<B> {
    fn get<const D: usize>(&self, index: usize, shape: [usize; D]) -> Tensor<B, D> {
        self.tensors[index].clone().reshape(shape)
    }
}

/// The output of an operation, and the gradients of its tensors, for a fixed direction.
fn gradients<B: DiffusionBackend, const D: usize>(
    device: &B::Device,
    lengths: &[usize],
    run: impl Fn(&Given<Autodiff<B>>) -> Tensor<Autodiff<B>, D>,
) -> Vec<Array> {
    let tensors = lengths.iter().enumerate().map(|(index, length)| {
        let values = Generator::new(index as u64).array(&[*length], 0.1, 1.0);
        values.to_tensor::<Autodiff<B>, 1>(device, DType::F32).require_grad()
    });
    let given = Given { tensors: tensors.collect() };
    let output = run(&given);
    let direction = Generator::new(99).array(&output.dims(), 0.0, 1.0);
    let direction = direction.to_tensor::<Autodiff<B>, D>(device, DType::F32);
    let mut arrays = vec![Array::from_data(output.clone().inner().into_data())];
    let found = (output * direction).sum().backward();
    arrays.extend(
        given.tensors.iter().map(|leaf| Array::from_data(leaf.grad(&found).unwrap().into_data())),
    );
    arrays
}

fn compare(name: &str, expected: Vec<Array>, found: Vec<Array>, tolerance: f64) {
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected.shape(), found.shape(), "{name}: value {index}");
        let error = error(expected, found, Measure::MaxAbs);
        assert!(error < tolerance, "{name}: value {index}: error {error:e}");
    }
}

macro_rules! agree {
    ($name:expr, $target:expr, $lengths:expr, |$given:ident, $bodies:ident| $run:expr) => {{
        let expected = {
            use default as $bodies;
            gradients::<B, _>($target.device, &$lengths, |$given| $run)
        };
        let found = {
            use ops as $bodies;
            gradients::<B, _>($target.device, &$lengths, |$given| $run)
        };
        compare($name, expected, found, $target.tolerance);
    }};
}

fn products<B: DiffusionBackend>(target: &Target<'_, B>) {
    agree!("linear", target, [70, 56, 8, 70, 80], |given, bodies| {
        let weight = Weight::from(given.get(1, [8, 7]));
        let epilogue = Epilogue::new()
            .bias(Some(given.get(2, [8])))
            .channel_add(Some(Channels { projection: given.get(3, [2, 35]), offset: 9 }))
            .scale(0.7)
            .residual(Some(given.get(4, [2, 5, 8])))
            .output_scale(1.3);
        bodies::linear(given.get::<3>(0, [2, 5, 7]), &weight, epilogue)
    });
    agree!("gated linear", target, [80, 128, 16], |given, bodies| {
        let weight = Weight::from(given.get(1, [16, 8]));
        let epilogue = Epilogue::new().bias(Some(given.get(2, [16]))).gated(Activation::Gelu);
        bodies::linear(given.get::<3>(0, [2, 5, 8]), &weight, epilogue)
    });
    let options = [
        ([3, 3], Conv2dOptions { stride: 1, padding: Padding::same(1) }),
        ([3, 3], Conv2dOptions { stride: 2, padding: Padding::end(1) }),
        ([2, 3], Conv2dOptions { stride: 2, padding: Padding::same(2) }),
        ([1, 1], Conv2dOptions::default()),
    ];
    for ([height, width], options) in options {
        agree!("conv2d", target, [2 * 5 * 6 * 4, 8 * height * width * 4, 8], |given, bodies| {
            let weight = Weight::from(given.get(1, [8, height, width, 4]));
            let epilogue = Epilogue::new().bias(Some(given.get(2, [8])));
            let input = ConvInput::from(given.get(0, [2, 5, 6, 4]));
            bodies::conv2d(input, &weight, options, epilogue)
        });
    }
    agree!("conv2d of an upsampled pair", target, [24, 36, 180, 8, 128], |given, bodies| {
        let input = ConvInput {
            upsample: Some([4, 4]),
            ..ConvInput::pair(given.get(0, [2, 2, 3, 2]), given.get(1, [2, 2, 3, 3]))
        };
        let options = Conv2dOptions { stride: 1, padding: Padding::same(1) };
        let epilogue = Epilogue::new()
            .channel_add(Some(given.get(3, [2, 4]).into()))
            .residual(Some(given.get(4, [2, 4, 4, 4])));
        let weight = Weight::from(given.get(2, [4, 3, 3, 5]));
        bodies::conv2d(input, &weight, options, epilogue)
    });
}

fn norms<B: DiffusionBackend>(target: &Target<'_, B>) {
    agree!("group norm", target, [2 * 5 * 3 * 6, 6, 6], |given, bodies| {
        let affine = Some(Affine { weight: given.get(1, [6]), bias: given.get(2, [6]) });
        let activation = Some(Activation::Silu);
        let options =
            GroupNormOptions { groups: 3, eps: 1e-3, affine, modulation: None, activation };
        let input = ConvInput::from(given.get(0, [2, 5, 3, 6]));
        bodies::group_norm(input, options)
    });
    agree!("group norm of a pair", target, [2 * 8 * 4, 2 * 8 * 8], |given, bodies| {
        let input = ConvInput::pair(given.get(0, [2, 4, 2, 4]), given.get(1, [2, 4, 2, 8]));
        let options = GroupNormOptions {
            groups: 4,
            eps: 1e-3,
            affine: None,
            modulation: None,
            activation: None,
        };
        bodies::group_norm(input, options)
    });
    agree!("layer norm", target, [2 * 7 * 12, 12, 12], |given, bodies| {
        let affine = Some(Affine { weight: given.get(1, [12]), bias: given.get(2, [12]) });
        let options = LayerNormOptions { eps: 1e-3, affine, modulation: None };
        bodies::layer_norm(given.get(0, [2, 7, 12]), options)
    });
}

fn attentions<B: DiffusionBackend>(target: &Target<'_, B>) {
    agree!("attention", target, [2 * 5 * 9, 2 * 7 * 8, 2 * 7 * 8], |given, bodies| {
        let query = Heads { projection: given.get(0, [2, 5, 9]), offset: 1 };
        let [key, value] = [1, 2].map(|index| Heads::from(given.get(index, [2, 7, 8])));
        bodies::attention(query, key, value, AttentionOptions::new(2, 4))
    });
    agree!("causal attention", target, [2 * 5 * 24], |given, bodies| {
        let view = |offset| Heads { projection: given.get(0, [2, 5, 24]), offset };
        let options = AttentionOptions::new(2, 4).mask(AttentionMask::Causal);
        bodies::attention(view(0), view(8), view(16), options)
    });
}

/// Where the operations run, and how far they may be off.
struct Target<'a, B: Backend> {
    device: &'a B::Device,
    tolerance: f64,
}

pub(crate) fn hold<B: DiffusionBackend>(device: &B::Device, tolerance: f64) {
    let target = Target { device, tolerance };
    products::<B>(&target);
    norms::<B>(&target);
    attentions::<B>(&target);
}

#[cfg(feature = "ndarray")]
#[test]
fn on_the_cpu() {
    hold::<burn_ndarray::NdArray<f32>>(&Default::default(), 1e-4);
}
