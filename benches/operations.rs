//! The CPU's operations at the shapes of SD 1.5, some of them beside the default bodies, which are plain Burn.
//!
//! ```sh
//! cargo bench --bench operations
//! python scripts/bench/operations.py      # the same in PyTorch
//! ```
#![allow(missing_docs)]

use burn::tensor::{Distribution, Tensor};
use divan::{Bencher, black_box};
use sd_core::{
    DiffusionBackend, Recycler,
    backend::Cpu,
    sd_kernels::{
        Activation, AttentionOptions, Conv2dOptions, ConvInput, Epilogue, GroupNormOptions, Heads,
        Padding, Weight, WeightRole, default, ops,
    },
};

#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

fn main() {
    divan::main();
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<Cpu, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

/// A 3×3 convolution that keeps the size.
const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: Padding::same(1) };

/// Side, input channels and output channels of 3×3 convolutions: of the U-Net at a batch of 2, and of the decoder.
const CONVOLUTIONS: [[usize; 3]; 8] = [
    [64, 320, 320],
    [32, 640, 640],
    [32, 1920, 640],
    [16, 1280, 1280],
    [8, 1280, 1280],
    [128, 512, 512],
    [256, 256, 256],
    [512, 128, 128],
];

fn batch(side: usize) -> usize {
    if side > 64 { 1 } else { 2 }
}

#[divan::bench(args = CONVOLUTIONS, sample_count = 5)]
fn conv2d(bencher: Bencher, [side, input, output]: [usize; 3]) {
    let image = random([batch(side), side, side, input]);
    let weight = Cpu::pack_weight(random([output, 3, 3, input]), WeightRole::Conv2d);
    bencher.bench_local(|| black_box(ops::conv2d(image.clone(), &weight, SAME, Epilogue::new())));
}

#[divan::bench(args = [[16, 1280, 1280], [8, 1280, 1280]], sample_count = 3)]
fn conv2d_of_burn(bencher: Bencher, [side, input, output]: [usize; 3]) {
    let image = random([batch(side), side, side, input]);
    let weight = Weight::from(random([output, 3, 3, input]));
    bencher.bench_local(|| {
        let image = ConvInput::from(image.clone());
        black_box(default::conv2d(image, &weight, SAME, Epilogue::new()))
    });
}

/// Rows, input width and output width.
const LINEARS: [[usize; 3]; 6] = [
    [8192, 320, 320],
    [8192, 1280, 320],
    [2048, 640, 640],
    [512, 1280, 1280],
    [512, 5120, 1280],
    [154, 768, 3072],
];

#[divan::bench(args = LINEARS, sample_count = 5)]
fn linear(bencher: Bencher, [rows, input, output]: [usize; 3]) {
    let tokens = random([1, rows, input]);
    let weight = Cpu::pack_weight(random([output, input]), WeightRole::Linear);
    bencher.bench_local(|| black_box(ops::linear(tokens.clone(), &weight, Epilogue::new())));
}

/// Rows and width of a gated feed-forward layer's first half.
#[divan::bench(args = [[8192, 320], [2048, 640], [512, 1280]], sample_count = 5)]
fn geglu(bencher: Bencher, [rows, width]: [usize; 2]) {
    let tokens = random([1, rows, width]);
    let weight = Cpu::pack_weight(random([8 * width, width]), WeightRole::Linear);
    bencher.bench_local(|| {
        let epilogue = Epilogue::new().gated(Activation::Gelu);
        black_box(ops::linear(tokens.clone(), &weight, epilogue))
    });
}

/// Tokens, heads and width of a head of self-attention at a batch of 2, and of the decoder's one head at 1.
const ATTENTIONS: [[usize; 3]; 4] = [[4096, 8, 40], [1024, 8, 80], [256, 8, 160], [4096, 1, 512]];

fn heads([tokens, heads, width]: [usize; 3]) -> [Heads<Cpu>; 3] {
    let batch = if heads == 1 { 1 } else { 2 };
    [(); 3].map(|()| Heads::from(random([batch, tokens, heads * width])))
}

#[divan::bench(args = ATTENTIONS, sample_count = 5)]
fn attention(bencher: Bencher, shape: [usize; 3]) {
    let views = heads(shape);
    bencher.bench_local(|| {
        let [query, key, value] = views.clone();
        black_box(ops::attention(query, key, value, AttentionOptions::new(shape[1], shape[2])))
    });
}

#[divan::bench(args = [[256, 8, 160]], sample_count = 5)]
fn attention_of_burn(bencher: Bencher, shape: [usize; 3]) {
    let views = heads(shape);
    bencher.bench_local(|| {
        let [query, key, value] = views.clone();
        black_box(default::attention(query, key, value, AttentionOptions::new(shape[1], shape[2])))
    });
}

fn group_norm_options() -> GroupNormOptions<Cpu> {
    GroupNormOptions {
        groups: 32,
        eps: 1e-5,
        affine: None,
        modulation: None,
        activation: Some(Activation::Silu),
    }
}

#[divan::bench(sample_count = 20)]
fn group_norm(bencher: Bencher) {
    let image = random([2, 64, 64, 320]);
    bencher.bench_local(|| black_box(ops::group_norm(image.clone(), group_norm_options())));
}

#[divan::bench(sample_count = 20)]
fn group_norm_of_burn(bencher: Bencher) {
    let image = random([2, 64, 64, 320]);
    bencher
        .bench_local(|| black_box(default::group_norm(image.clone().into(), group_norm_options())));
}
