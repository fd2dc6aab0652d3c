//! Low-rank branches: the same as the merged weight, and no keys of their own.

use burn::{
    module::{Module, Param},
    tensor::{Distribution, Tensor},
};
use sd_kernels::{Activation, Epilogue, Padding, WeightRole};
use sd_nn::{
    Conv2d, Conv2dConfig, Linear, LinearConfig, LowRankConv2d, LowRankLinear, WeightParam,
    checkpoint::visit_parameters,
};

use crate::case::{B, assert_close};

fn random<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Default::default())
}

fn paths<M: Module<B>>(module: &M) -> Vec<String> {
    let mut paths = Vec::new();
    visit_parameters::<B, M>(module, &mut |view| paths.push(view.path().to_owned()));
    paths
}

/// An epilogue in which nothing is trivial.
fn epilogue<const D: usize>(residual: Tensor<B, D>) -> Epilogue<B, D> {
    let epilogue = Epilogue::new().activation(Activation::Silu).scale(0.5);
    epilogue.residual(Some(residual)).output_scale(2.0)
}

#[test]
fn linear_branches_equal_the_merged_weight() {
    let layer: Linear<B> = LinearConfig::new(6, 10).init(&Default::default());
    let input = random([2, 5, 6]);
    let plain = layer.forward(input.clone());
    let (mut branched, mut merged) = (layer.clone(), layer.weight.dense());
    for (adapter, scale) in [("first", 0.7), ("second", -1.3)] {
        let (down, up) = (random([3, 6]), random([10, 3]));
        branched.low_rank.push(LowRankLinear::new(adapter, down.clone(), up.clone(), scale));
        merged = merged + up.matmul(down) * scale;
    }
    let weight = WeightParam::from_param(Param::from_tensor(merged), WeightRole::Linear);
    let merged = Linear { weight, ..layer.clone() };
    let expected = merged.forward(input.clone());
    assert_close("linear", branched.forward(input.clone()), expected, 1e-5);
    let residual = random([2, 5, 10]);
    assert_close(
        "linear with epilogue",
        branched.forward_with(input.clone(), epilogue(residual.clone())),
        merged.forward_with(input.clone(), epilogue(residual)),
        1e-5,
    );

    branched.low_rank.clear();
    assert_eq!(branched.forward(input).into_data(), plain.into_data());
}

#[test]
fn convolution_branches_equal_the_merged_weight() {
    let config = Conv2dConfig::new(4, 8, 3).stride(2).padding(Padding::end(1));
    let layer: Conv2d<B> = config.init(&Default::default());
    let (input, residual) = (random([2, 6, 7, 4]), random([2, 3, 3, 8]));
    // Draws the bias, which clones would draw anew.
    layer.forward(input.clone());
    let (down, up) = (random([3, 3, 3, 4]), random([8, 1, 1, 3]));
    let delta = up.clone().reshape([8, 3]).matmul(down.clone().reshape([3, 3 * 3 * 4]));
    let merged = layer.weight.dense() + delta.reshape([8, 3, 3, 4]) * 0.6;
    let weight = WeightParam::from_param(Param::from_tensor(merged), WeightRole::Conv2d);
    let mut branched = layer.clone();
    let mut merged = layer;
    merged.weight = weight;
    branched.low_rank.push(LowRankConv2d::new("adapter", down, up, 0.6));

    let expected = merged.forward(input.clone());
    assert_close("conv", branched.forward(input.clone()), expected, 1e-5);
    assert_close(
        "conv with epilogue",
        branched.forward_with(input.clone(), epilogue(residual.clone())),
        merged.forward_with(input, epilogue(residual)),
        1e-5,
    );
}

#[test]
fn an_empty_list_adds_no_key() {
    let mut layer: Linear<B> = LinearConfig::new(6, 10).init(&Default::default());
    assert_eq!(paths(&layer), ["weight", "bias"]);
    layer.low_rank.push(LowRankLinear::new("a", random([3, 6]), random([10, 3]), 1.0));
    assert_eq!(paths(&layer).len(), 4);
    let conv: Conv2d<B> = Conv2dConfig::new(4, 8, 3).init(&Default::default());
    assert_eq!(paths(&conv), ["weight", "bias"]);
}
