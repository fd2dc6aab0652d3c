//! The CPU's own bodies give the same bits on any number of threads.

use burn::tensor::{Distribution, Tensor};
use burn_ndarray::NdArray;
use sd_kernels::{
    Activation, AttentionOptions, Conv2dOptions, Epilogue, GroupNormOptions, Heads,
    LayerNormOptions, Padding, Weight, ops,
};

type Cpu = NdArray<f32>;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<Cpu, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

fn bits<const D: usize>(tensor: Tensor<Cpu, D>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

/// Runs an operation on one, two, three and five threads.
fn same_on_any_number(operation: impl Fn() -> Vec<u32> + Sync) {
    let [one, more @ ..] = [1, 2, 3, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&operation)
    });
    assert!(!one.is_empty());
    assert!(more.iter().all(|results| *results == one));
}

const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: Padding::same(1) };

#[test]
fn convolutions() {
    // By tiles of 4×4 outputs; directly, of some depth; and directly, of few channels.
    for (side, channels, out) in [(50, 48, 72), (11, 320, 96), (40, 5, 7)] {
        let (image, weight) = (random([2, side, side, channels]), random([out, 3, 3, channels]));
        let weight = Weight::from(weight);
        let epilogue = Epilogue::new().bias(Some(random([out]))).activation(Activation::Silu);
        same_on_any_number(|| bits(ops::conv2d(image.clone(), &weight, SAME, epilogue.clone())));
    }
}

#[test]
fn linear_layers() {
    for (tokens, width, out) in [(300, 320, 640), (7, 3000, 130)] {
        let (input, weight) = (random([2, tokens, width]), Weight::from(random([out, width])));
        for epilogue in [Epilogue::new(), Epilogue::new().gated(Activation::Gelu)] {
            same_on_any_number(|| bits(ops::linear(input.clone(), &weight, epilogue.clone())));
        }
    }
}

#[test]
fn attention() {
    let [query, key, value] = [100, 700, 700].map(|tokens| random([2, tokens, 120]));
    same_on_any_number(|| {
        let [query, key, value] = [&query, &key, &value].map(|x| Heads::from(x.clone()));
        bits(ops::attention(query, key, value, AttentionOptions::new(3, 40)))
    });
}

#[test]
fn norms() {
    let image = random([2, 30, 30, 96]);
    let options = || GroupNormOptions {
        groups: 32,
        eps: 1e-5,
        affine: None,
        modulation: None,
        activation: Some(Activation::Silu),
    };
    same_on_any_number(|| bits(ops::group_norm(image.clone(), options())));
    let tokens = random([2, 333, 96]);
    let options = || LayerNormOptions { eps: 1e-5, affine: None, modulation: None };
    same_on_any_number(|| bits(ops::layer_norm(tokens.clone(), options())));
}
