//! Weights of 16 bits give the CPU's kernels the same results to the last bit, and come back as they were.

use burn::tensor::{DType, Distribution, Tensor};
use burn_ndarray::NdArray;
use sd_kernels::{
    Activation, Conv2dOptions, DiffusionBackend, Epilogue, Padding, Weight, WeightRole, ops,
};

type Cpu = NdArray<f32>;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<Cpu, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Default::default())
}

fn bits<const D: usize>(tensor: Tensor<Cpu, D>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

/// Some values as `f16` or `bf16` has them.
fn rounded<const D: usize>(shape: [usize; D], dtype: DType) -> Tensor<Cpu, D> {
    let data = (random(shape) * 0.02).into_data().convert_dtype(dtype).convert_dtype(DType::F32);
    Tensor::from_data(data, &Default::default())
}

fn packed<const D: usize>(weight: Tensor<Cpu, D>, role: WeightRole) -> Weight<Cpu, D> {
    let packed = Cpu::pack_weight(weight.clone(), role);
    assert_eq!(packed.to_data(), weight.into_data());
    packed
}

#[test]
fn linear_layers() {
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        for (tokens, width, out) in [(300, 320, 640), (7, 5000, 130), (1, 33, 1)] {
            let (input, weight) = (random([2, tokens, width]), rounded([out, width], dtype));
            let packed = packed(weight.clone(), WeightRole::Linear);
            for gated in [false, out % 2 == 0] {
                let epilogue = match gated {
                    true => Epilogue::new().gated(Activation::Gelu),
                    false => Epilogue::new(),
                };
                let run = |weight| bits(ops::linear(input.clone(), weight, epilogue.clone()));
                assert!(run(&Weight::from(weight.clone())) == run(&packed), "{dtype:?} {width}");
            }
        }
    }
}

#[test]
fn convolutions() {
    let options = Conv2dOptions { stride: 1, padding: Padding::same(1) };
    for dtype in [DType::F16, DType::BF16, DType::F32] {
        // By tiles of 4×4 outputs, and directly.
        for (side, channels, out) in [(50, 48, 72), (11, 320, 96), (13, 5, 7)] {
            let weight = rounded([out, 3, 3, channels], dtype);
            let packed = packed(weight.clone(), WeightRole::Conv2d);
            let image = random([1, side, side, channels]);
            let run = |weight| bits(ops::conv2d(image.clone(), weight, options, Epilogue::new()));
            assert!(run(&Weight::from(weight.clone())) == run(&packed), "{dtype:?} {side}");
        }
    }
}
