//! The CPU's operations at the shapes of SD 1.5 beside the default bodies, which are plain Burn.
//!
//! ```sh
//! cargo bench --bench operations
//! ```
#![allow(missing_docs)]

use burn::tensor::{Distribution, Tensor};
use divan::{Bencher, black_box};
use sd_core::{
    backend::Cpu,
    sd_kernels::{
        AttentionOptions, Conv2dOptions, ConvInput, Epilogue, GroupNormOptions, Heads, Padding,
        Weight, default, ops,
    },
};

fn main() {
    divan::main();
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<Cpu, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// A 3×3 convolution that keeps the size.
const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: Padding::same(1) };

/// Side, input channels and output channels of 3×3 convolutions at a batch of 2.
const CONVOLUTIONS: [[usize; 3]; 3] = [[32, 320, 320], [16, 640, 640], [8, 1280, 1280]];

#[divan::bench(args = CONVOLUTIONS, sample_count = 5)]
fn conv2d(bencher: Bencher, [side, input, output]: [usize; 3]) {
    let image = random([2, side, side, input]);
    let weight = Weight::from(random([output, 3, 3, input]));
    bencher.bench_local(|| black_box(ops::conv2d(image.clone(), &weight, SAME, Epilogue::new())));
}

#[divan::bench(args = CONVOLUTIONS, sample_count = 5)]
fn conv2d_of_burn(bencher: Bencher, [side, input, output]: [usize; 3]) {
    let image = random([2, side, side, input]);
    let weight = Weight::from(random([output, 3, 3, input]));
    bencher.bench_local(|| {
        let image = ConvInput::from(image.clone());
        black_box(default::conv2d(image, &weight, SAME, Epilogue::new()))
    });
}

/// Tokens, heads and width of a head of self-attention at a batch of 2.
const ATTENTIONS: [[usize; 3]; 2] = [[1024, 8, 40], [256, 8, 80]];

fn heads([tokens, heads, width]: [usize; 3]) -> [Heads<Cpu>; 3] {
    [(); 3].map(|()| Heads::from(random([2, tokens, heads * width])))
}

#[divan::bench(args = ATTENTIONS, sample_count = 5)]
fn attention(bencher: Bencher, shape: [usize; 3]) {
    let views = heads(shape);
    bencher.bench_local(|| {
        let [query, key, value] = views.clone();
        black_box(ops::attention(query, key, value, AttentionOptions::new(shape[1], shape[2])))
    });
}

#[divan::bench(args = ATTENTIONS, sample_count = 5)]
fn attention_of_burn(bencher: Bencher, shape: [usize; 3]) {
    let views = heads(shape);
    bencher.bench_local(|| {
        let [query, key, value] = views.clone();
        black_box(default::attention(query, key, value, AttentionOptions::new(shape[1], shape[2])))
    });
}

fn group_norm_options() -> GroupNormOptions<Cpu> {
    GroupNormOptions { groups: 32, eps: 1e-5, affine: None, modulation: None, activation: None }
}

#[divan::bench(sample_count = 20)]
fn group_norm(bencher: Bencher) {
    let image = random([2, 32, 32, 320]);
    bencher.bench_local(|| black_box(ops::group_norm(image.clone(), group_norm_options())));
}

#[divan::bench(sample_count = 20)]
fn group_norm_of_burn(bencher: Bencher) {
    let image = random([2, 32, 32, 320]);
    bencher
        .bench_local(|| black_box(default::group_norm(image.clone().into(), group_norm_options())));
}
