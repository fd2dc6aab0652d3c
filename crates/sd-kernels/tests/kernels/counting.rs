//! The launch counter sees what strays, and the operations do not.

use burn::tensor::{DType, Tensor};
use sd_kernels::{
    Activation, AttentionOptions, Conv2dOptions, ConvInput, Epilogue, GroupNormOptions,
    LayerNormOptions, Weight, ops,
    testing::{Counting, count_launches},
};

fn ones<const D: usize>(shape: [usize; D]) -> Tensor<Counting, D> {
    Tensor::ones(shape, &Default::default())
}

fn strays(run: impl FnOnce() -> Tensor<Counting, 3>) -> Vec<String> {
    count_launches(run).stray
}

#[test]
fn what_is_launched_outside_is_seen() {
    let x = ones([2, 3, 4]);
    assert_eq!(strays(|| x.clone() + x.clone()), ["NumericFloat::Add to [2, 3, 4]"]);
    assert_eq!(strays(|| x.clone().exp()).len(), 1);
    assert_eq!(strays(|| x.clone().narrow(1, 0, 2)).len(), 1);
    assert_eq!(strays(|| Tensor::cat(vec![x.clone(), x.clone()], 1)).len(), 1);
    assert_eq!(strays(|| x.clone().cast(DType::F64)).len(), 1);
    let read = count_launches(|| x.to_data());
    assert_eq!(read.stray, ["read of [2, 3, 4]"]);
}

#[test]
fn views_launch_nothing_until_they_are_copied() {
    let x = ones([2, 3, 4]);
    assert!(strays(|| x.clone().swap_dims(1, 2)).is_empty());
    assert!(strays(|| x.clone().reshape([1, 6, 4])).is_empty());
    assert!(strays(|| x.clone().cast(DType::F32)).is_empty());
    assert!(strays(|| ones_row().expand([2, 3, 4])).is_empty());
    assert_eq!(strays(|| x.clone().swap_dims(1, 2).reshape([2, 2, 6])).len(), 1);
    assert_eq!(strays(|| ones_row().expand([2, 3, 4]).reshape([3, 2, 4])).len(), 1);
    // Back in order.
    assert!(strays(|| x.swap_dims(1, 2).swap_dims(1, 2).reshape([2, 2, 6])).is_empty());
}

fn ones_row() -> Tensor<Counting, 3> {
    Tensor::from_data([[[1.0, 1.0, 1.0, 1.0]]], &Default::default())
}

#[test]
fn operations_do_not_stray() {
    let (x, bias) = (ones([2, 3, 4]), ones([6]));
    let weight = Weight::from(ones([6, 4]));
    let launches = count_launches(|| {
        let epilogue = Epilogue::new().bias(Some(bias)).gated(Activation::Gelu);
        let y = ops::linear(x, &weight, epilogue);
        let options = AttentionOptions::new(1, 3);
        let y = ops::attention(y.clone(), y.clone(), y, options);
        let y = ops::linear_combination([(0.5, y.clone()), (2.0, y)]);
        ops::layer_norm(y, LayerNormOptions { eps: 1e-5, affine: None, modulation: None })
    });
    assert_eq!(launches.stray, Vec::<String>::new());
    assert_eq!(launches.uploads, 0);
    assert!(launches.inside > 5, "{launches:?}");
}

#[test]
fn operations_on_images_do_not_stray() {
    let (x, weight) = (ones([1, 4, 4, 2]), Weight::from(ones([4, 3, 3, 2])));
    let launches = count_launches(|| {
        let input = ConvInput::upsampled(x, [8, 8]);
        let y = ops::conv2d(input, &weight, Conv2dOptions::default(), Epilogue::new());
        let y = ops::group_norm(
            y,
            GroupNormOptions {
                groups: 2,
                eps: 1e-5,
                affine: None,
                modulation: None,
                activation: Some(Activation::Silu),
            },
        );
        let [batch, height, width, channels] = y.dims();
        y.reshape([batch, height * width, channels])
    });
    assert_eq!((launches.stray, launches.uploads), (Vec::new(), 0));
}

#[test]
fn a_panic_ends_the_recording() {
    let outcome = std::panic::catch_unwind(|| count_launches(|| panic!("expected in this test")));
    assert!(outcome.is_err());
    assert_eq!(count_launches(|| ones([1, 1, 1]).exp()).stray.len(), 2);
}

/// Nothing is computed, so that models of any size can be counted.
#[test]
fn size_costs_nothing() {
    let side = 1 << 20;
    let launches = count_launches(|| {
        let weight = Weight::from(ones([side, side]));
        ops::linear(ones([1, side, side]), &weight, Epilogue::new().activation(Activation::Silu))
    });
    assert!(launches.inside > 1, "{launches:?}");
}
