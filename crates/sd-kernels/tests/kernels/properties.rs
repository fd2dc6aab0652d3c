//! The CPU's own bodies on random shapes: no further from the f64 reference than the default bodies, times four.

use burn::tensor::{DType, Tensor};
use burn_ndarray::NdArray;
use proptest::prelude::*;
use sd_kernels::{
    Activation, Affine, AttentionMask, AttentionOptions, Conv2dOptions, ConvInput, Epilogue, Gate,
    GroupNormOptions, Heads, LayerNormOptions, Modulation, Padding, Weight, default, ops,
    testing::{
        Array, Generator, Measure, Tolerances, error,
        reference::{self, AttentionValues, EpilogueValues, Scaling},
    },
};

type Cpu = NdArray<f32>;

fn tensor<const D: usize>(array: &Array) -> Tensor<Cpu, D> {
    array.to_tensor(&Default::default(), DType::F32)
}

/// Random values of f32.
struct Values(Generator);

impl Values {
    fn array(&mut self, shape: &[usize]) -> Array {
        self.0.array(shape, 0.2, 1.0).round(DType::F32)
    }

    fn epilogue(&mut self, parts: Parts, product: &[usize]) -> EpilogueValues {
        let (batch, channels) = (product[0], product[product.len() - 1]);
        let gate = if parts.paired && channels.is_multiple_of(2) { Gate::Pair } else { Gate::None };
        let out = if gate == Gate::Pair { channels / 2 } else { channels };
        let mut output = product.to_vec();
        output[product.len() - 1] = out;
        EpilogueValues {
            bias: parts.bias.then(|| self.array(&[channels])),
            channel_add: parts.channels.then(|| self.array(&[batch, channels])),
            activation: parts.activation,
            gate,
            channel_mul: parts.channels.then(|| self.array(&[batch, out])),
            scale: parts.scale,
            residual: parts.residual.then(|| self.array(&output)),
            output_scale: 1.0 / parts.scale,
        }
    }

    fn scaling(&mut self, batch: usize, channels: usize, parts: Parts) -> Scaling {
        let mut pair = |shape: &[usize]| [self.array(shape), self.array(shape)];
        Scaling {
            affine: parts.bias.then(|| pair(&[channels])),
            modulation: parts.channels.then(|| pair(&[batch, channels])),
            activation: parts.activation,
        }
    }
}

fn epilogue<const D: usize>(values: &EpilogueValues) -> Epilogue<Cpu, D> {
    Epilogue {
        bias: values.bias.as_ref().map(tensor),
        channel_add: values.channel_add.as_ref().map(|add| tensor(add).into()),
        activation: values.activation,
        gate: values.gate,
        channel_mul: values.channel_mul.as_ref().map(|mul| tensor(mul).into()),
        scale: values.scale,
        residual: values.residual.as_ref().map(tensor),
        output_scale: values.output_scale,
    }
}

fn affine(scaling: &Scaling) -> Option<Affine<Cpu>> {
    scaling
        .affine
        .as_ref()
        .map(|[weight, bias]| Affine { weight: tensor(weight), bias: tensor(bias) })
}

fn modulation(scaling: &Scaling) -> Option<Modulation<Cpu>> {
    scaling.modulation.as_ref().map(|[scale, shift]| Modulation {
        scale: tensor(scale).into(),
        shift: tensor(shift).into(),
    })
}

/// What an epilogue or a normalisation has.
#[derive(Debug, Clone, Copy)]
struct Parts {
    bias: bool,
    channels: bool,
    activation: Option<Activation>,
    paired: bool,
    scale: f64,
    residual: bool,
}

fn parts() -> impl Strategy<Value = Parts> {
    let activation = prop::option::of(prop::sample::select(vec![
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Relu,
        Activation::Tanh,
    ]));
    let scale = prop::sample::select(vec![1.0, 0.5, -1.7]);
    (any::<[bool; 4]>(), activation, scale).prop_map(
        |([bias, channels, paired, residual], activation, scale)| Parts {
            bias,
            channels,
            activation,
            paired,
            scale,
            residual,
        },
    )
}

fn padding() -> impl Strategy<Value = Padding> {
    (0usize..3, 0usize..3, 0usize..3, 0usize..3).prop_map(|(top, left, bottom, right)| Padding {
        top,
        left,
        bottom,
        right,
    })
}

/// Results that are compared for each shape, by as many draws as it takes: in few numbers, the default body may be right by luck.
const RESULTS: usize = 4096;

/// Of products, attention and epilogues, as the suite has it.
const PRODUCT: f64 = 2e-5;
/// Of normalisations. Ten times the suite's: a row of two values far from zero has lost most of its digits before.
const NORM: f64 = 2e-4;

/// Holds what a body finds for draws of one shape against the reference: the largest errors of the draws are in sum no more than
/// four times those of the default body, or 1e-6 of the largest values expected. (Of the sums, not of each draw: the few values
/// of one draw may all be nearly zero, as behind a GELU, where the nearest number of f32 is far off by comparison.) `draw` gives
/// what is expected, what the body found, and what the default body finds.
fn no_worse<const D: usize>(
    seed: u64,
    tolerance: f64,
    mut draw: impl FnMut(Values) -> (Array, Tensor<Cpu, D>, Tensor<Cpu, D>),
) -> Result<(), TestCaseError> {
    let (mut results, mut draws, mut magnitude, mut errors) = (0, 0, 0.0, [0.0; 2]);
    while results < RESULTS {
        let (expected, found, default) = draw(Values(Generator::new(seed.wrapping_add(draws))));
        for (sum, tensor) in errors.iter_mut().zip([found, default]) {
            let array = Array::from_data(tensor.into_data());
            prop_assert_eq!(expected.shape(), array.shape());
            let pairs = expected.values().iter().zip(array.values());
            *sum += largest(pairs.map(|(expected, found)| expected - found));
        }
        magnitude += largest(expected.values().iter().copied());
        results += expected.values().len();
        draws += 1;
    }
    let [found, default] = errors;
    prop_assert!(default <= tolerance * magnitude, "the default body's errors of {:e}", default);
    let limit = (4.0 * default).max(1e-6 * magnitude);
    prop_assert!(found <= limit, "errors of {:e} over {:e} in {} draws", found, limit, draws);
    Ok(())
}

/// NaN where there is one: it is no more than nothing.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn linear(
        seed: u64, batch in 1usize..4, tokens in 1usize..70, width in 1usize..70, out in 1usize..70,
        parts in parts(),
    ) {
        no_worse(seed, PRODUCT, |mut values| {
            let (input, weight) = (values.array(&[batch, tokens, width]), values.array(&[out, width]));
            let tail = values.epilogue(parts, &[batch, tokens, out]);
            let expected = reference::epilogue(&reference::linear(&input, &weight), &tail);
            let weight = Weight::from(tensor(&weight));
            let found = ops::linear(tensor::<3>(&input), &weight, epilogue(&tail));
            (expected, found, default::linear(tensor(&input), &weight, epilogue(&tail)))
        })?;
    }

    #[test]
    fn conv2d(
        seed: u64, batch in 1usize..3, size in prop::array::uniform2(1usize..12),
        channels in 1usize..9, second in 0usize..5,
        upsample in prop::option::of(prop::array::uniform2(1usize..14)),
        kernel in prop::array::uniform2(1usize..5), stride in 1usize..4, padding in padding(),
        out in 1usize..12, parts in parts(),
    ) {
        let options = Conv2dOptions { stride, padding };
        let image = upsample.unwrap_or(size);
        prop_assume!(options.output_size(image, kernel).is_some());
        no_worse(seed, PRODUCT, |mut values| {
            let first = values.array(&[batch, size[0], size[1], channels]);
            let second = (second > 0).then(|| values.array(&[batch, size[0], size[1], second]));
            let image = reference::materialise(&first, second.as_ref(), upsample);
            let weight = values.array(&[out, kernel[0], kernel[1], image.shape()[3]]);
            let product = reference::conv2d(&image, &weight, options);
            let tail = values.epilogue(parts, product.shape());
            let expected = reference::epilogue(&product, &tail);
            let weight = Weight::from(tensor(&weight));
            let input = || ConvInput {
                first: tensor(&first),
                second: second.as_ref().map(tensor),
                upsample,
            };
            let found = ops::conv2d(input(), &weight, options, epilogue(&tail));
            (expected, found, default::conv2d(input(), &weight, options, epilogue(&tail)))
        })?;
    }

    #[test]
    fn group_norm(
        seed: u64, batch in 1usize..4, size in prop::array::uniform2(1usize..20),
        groups in 1usize..6, width in 1usize..6, parts in parts(), offset in -30.0f64..30.0,
    ) {
        no_worse(seed, NORM, |mut values| {
            let channels = groups * width;
            let shape = [batch, size[0], size[1], channels];
            let input = values.0.array(&shape, offset, 1.0).round(DType::F32);
            let scaling = values.scaling(batch, channels, parts);
            let expected = reference::group_norm(&input, groups, 1e-5, &scaling);
            let options = || GroupNormOptions {
                groups,
                eps: 1e-5,
                affine: affine(&scaling),
                modulation: modulation(&scaling),
                activation: scaling.activation,
            };
            let found = ops::group_norm(tensor::<4>(&input), options());
            let default = default::group_norm(tensor::<4>(&input).into(), options());
            (expected, found, default)
        })?;
    }

    #[test]
    fn layer_norm(
        seed: u64, batch in 1usize..4, tokens in 1usize..40, channels in 1usize..90, parts in parts(),
        offset in -30.0f64..30.0,
    ) {
        no_worse(seed, NORM, |mut values| {
            let input = values.0.array(&[batch, tokens, channels], offset, 1.0).round(DType::F32);
            let scaling = values.scaling(batch, channels, Parts { activation: None, ..parts });
            let expected = reference::layer_norm(&input, 1e-5, &scaling);
            let options = || LayerNormOptions {
                eps: 1e-5,
                affine: affine(&scaling),
                modulation: modulation(&scaling),
            };
            let found = ops::layer_norm(tensor::<3>(&input), options());
            (expected, found, default::layer_norm(tensor(&input), options()))
        })?;
    }

    #[test]
    fn attention(
        seed: u64, batch in 1usize..4, queries in 1usize..150, keys in 1usize..100,
        heads in 1usize..5, head_dim in 1usize..40, causal: bool, fused: bool, scale in 0.05f64..2.0,
        masked in prop::option::of(any::<[bool; 3]>()),
    ) {
        no_worse(seed, PRODUCT, |mut values| {
            let width = heads * head_dim;
            let offset = if fused { 3 } else { 0 };
            let query = values.array(&[batch, queries, width + offset]);
            let [key, value] = [(); 2].map(|()| values.array(&[batch, keys, width + 2 * offset]));
            let mask = masked.map(|full| {
                let sizes = [batch, heads, queries];
                let [b, h, q] = std::array::from_fn(|axis| if full[axis] { sizes[axis] } else { 1 });
                values.array(&[b, h, q, keys])
            });
            let causal = causal && mask.is_none();
            let expected = reference::attention(
                (&query, offset), (&key, 0), (&value, 2 * offset),
                AttentionValues { heads, head_dim, scale, causal, mask: mask.as_ref() },
            );
            let heads_of = |array, offset| Heads { projection: tensor(array), offset };
            let views = || [heads_of(&query, offset), heads_of(&key, 0), heads_of(&value, 2 * offset)];
            let options = || AttentionOptions {
                scale: Some(scale),
                ..AttentionOptions::new(heads, head_dim).mask(match &mask {
                    Some(mask) => AttentionMask::Additive(tensor(mask)),
                    None if causal => AttentionMask::Causal,
                    None => AttentionMask::None,
                })
            };
            let [q, k, v] = views();
            let found = ops::attention(q, k, v, options());
            let [q, k, v] = views();
            (expected, found, default::attention(q, k, v, options()))
        })?;
    }

    #[test]
    fn epilogues(
        seed: u64, batch in 1usize..4, tokens in 1usize..150, channels in 1usize..40, parts in parts(),
    ) {
        no_worse(seed, PRODUCT, |mut values| {
            let input = values.array(&[batch, tokens, channels]);
            let tail = values.epilogue(parts, &[batch, tokens, channels]);
            let expected = reference::epilogue(&input, &tail);
            let found = ops::epilogue(tensor::<3>(&input), epilogue(&tail));
            (expected, found, default::epilogue(tensor(&input), epilogue(&tail)))
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Images so large that they go by tiles of 4×4 outputs, whose transforms cost accuracy: within the suite's tolerance.
    #[test]
    fn large_convolutions(
        seed: u64, size in prop::array::uniform2(33usize..42), halves in 2usize..4, second in 0usize..2,
        out in 32usize..70, doubled: bool, padding in prop::array::uniform2(0usize..2), parts in parts(),
    ) {
        // Tanh makes 1 of values of 90, and with them of what the error is compared to.
        let activation = parts.activation.filter(|activation| *activation != Activation::Tanh);
        let parts = Parts { paired: false, activation, ..parts };
        let [top, left] = padding;
        let options = Conv2dOptions { stride: 1, padding: Padding { top, left, bottom: 1, right: 1 } };
        let mut values = Values(Generator::new(seed));
        let stored = if doubled { [size[0] / 2, size[1] / 2] } else { size };
        let upsample = doubled.then_some(size);
        let first = values.array(&[2, stored[0], stored[1], 16 * halves]);
        let second = (second > 0).then(|| values.array(&[2, stored[0], stored[1], 16 * second]));
        let image = reference::materialise(&first, second.as_ref(), upsample);
        let weight = values.array(&[out, 3, 3, image.shape()[3]]);
        let product = reference::conv2d(&image, &weight, options);
        let tail = values.epilogue(parts, product.shape());
        let expected = reference::epilogue(&product, &tail);
        let input = ConvInput { first: tensor(&first), second: second.as_ref().map(tensor), upsample };
        let weight = Weight::from(tensor(&weight));
        let found = ops::conv2d(input, &weight, options, epilogue::<4>(&tail));
        let error = error(&expected, &Array::from_data(found.into_data()), Measure::MaxAbs);
        prop_assert!(error <= Tolerances::of(DType::F32).product, "error {:e}", error);
    }
}
