//! What an override may assume is checked before it is called.

use burn::tensor::{DType, Tensor};
use burn_ndarray::NdArray;
use sd_kernels::{
    AttentionMask, AttentionOptions, Channels, Conv2dOptions, ConvInput, Epilogue,
    GroupNormOptions, Heads, LayerNormOptions, Modulation, Weight, ops, testing::Array,
};

type B = NdArray<f32>;

fn ones<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    typed(shape, DType::F32)
}

fn typed<const D: usize>(shape: [usize; D], dtype: DType) -> Tensor<B, D> {
    Array::from_fn(shape, |_| 1.0).to_tensor(&Default::default(), dtype)
}

fn linear(epilogue: Epilogue<B, 3>) -> Tensor<B, 3> {
    ops::linear(ones([2, 3, 4]), &Weight::from(ones([6, 4])), epilogue)
}

#[test]
#[should_panic(expected = "linear: input [2, 3, 5] for a weight [6, 4]")]
fn widths_differ() {
    ops::linear(ones([2, 3, 5]), &Weight::from(ones([6, 4])), Epilogue::new());
}

#[test]
#[should_panic(expected = "linear: dtypes differ")]
fn dtypes_differ() {
    let input = typed([2, 3, 4], DType::F64);
    ops::linear(input, &Weight::from(ones([6, 4])), Epilogue::new());
}

#[test]
#[should_panic(expected = "linear: a residual of the output's shape")]
fn a_residual_of_another_shape() {
    linear(Epilogue::new().residual(Some(ones([3, 2, 6]))));
}

#[test]
#[should_panic(expected = "linear: a vector for 6 channels")]
fn a_bias_of_another_length() {
    linear(Epilogue::new().bias(Some(ones([4]))));
}

#[test]
#[should_panic(expected = "linear: a view from column 2 of [2, 7] for 6 channels of 2 samples")]
fn channels_beyond_their_projection() {
    let view = Channels { projection: ones([2, 7]), offset: 2 };
    linear(Epilogue::new().channel_add(Some(view)));
}

#[test]
#[should_panic(expected = "for 3 channels of 2 samples")]
fn channel_mul_is_of_the_output() {
    let epilogue = Epilogue { gate: sd_kernels::Gate::Pair, ..Epilogue::new() };
    linear(epilogue.channel_mul(Some(ones([1, 3]).into())));
}

#[test]
#[should_panic(expected = "does not fit 2×5")]
fn a_kernel_that_does_not_fit() {
    let weight = Weight::from(ones([1, 3, 3, 2]));
    ops::conv2d(ones([1, 2, 5, 2]), &weight, Conv2dOptions::default(), Epilogue::new());
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_stride_of_zero() {
    let options = Conv2dOptions { stride: 0, ..Default::default() };
    ops::conv2d(ones([1, 4, 4, 2]), &Weight::from(ones([1, 3, 3, 2])), options, Epilogue::new());
}

#[test]
#[should_panic(expected = "conv2d: a pair [1, 4, 4, 2], [1, 4, 5, 1]")]
fn a_pair_of_different_sizes() {
    let pair = ConvInput::pair(ones([1, 4, 4, 2]), ones([1, 4, 5, 1]));
    let weight = Weight::from(ones([1, 1, 1, 3]));
    ops::conv2d(pair, &weight, Conv2dOptions::default(), Epilogue::new());
}

#[test]
#[should_panic(expected = "attention: value [1, 3, 8] for a batch of 1, 3 tokens, columns up to 9")]
fn heads_beyond_their_projection() {
    let projection = ones([1, 3, 8]);
    let view = |offset| Heads { projection: projection.clone(), offset };
    ops::attention(view(0), view(4), view(5), AttentionOptions::new(2, 2));
}

#[test]
#[should_panic(expected = "attention: a mask [1, 1, 2, 3] for scores [1, 2, 3, 3]")]
fn a_mask_of_another_shape() {
    let qkv = || ones([1, 3, 4]);
    let mask = AttentionMask::Additive(ones([1, 1, 2, 3]));
    ops::attention(qkv(), qkv(), qkv(), AttentionOptions::new(2, 2).mask(mask));
}

#[test]
#[should_panic(expected = "group_norm: 4 groups do not divide 6 channels")]
fn groups_that_do_not_divide() {
    let options =
        GroupNormOptions { groups: 4, eps: 1e-5, affine: None, modulation: None, activation: None };
    ops::group_norm(ones([1, 2, 2, 6]), options);
}

#[test]
#[should_panic(expected = "layer_norm: dtypes differ")]
fn a_modulation_of_another_dtype() {
    let modulation =
        Modulation { scale: ones([2, 4]).into(), shift: typed([2, 4], DType::F64).into() };
    let options = LayerNormOptions { eps: 1e-5, affine: None, modulation: Some(modulation) };
    ops::layer_norm(ones([2, 3, 4]), options);
}

#[test]
#[should_panic(expected = "linear_combination: no terms")]
fn a_combination_of_nothing() {
    ops::linear_combination::<B, 2>([]);
}

#[test]
#[should_panic(expected = "linear_combination: shapes differ")]
fn a_combination_of_different_shapes() {
    ops::linear_combination([(1.0, ones([2, 3])), (1.0, ones([3, 2]))]);
}
