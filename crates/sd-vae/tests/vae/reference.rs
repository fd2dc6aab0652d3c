//! Whole models against diffusers (`scripts/golden/vaes.py`).

use burn::tensor::Tensor;
use sd_vae::DiagonalGaussian;

use crate::{golden::Golden, load};

fn moments(posterior: &DiagonalGaussian<crate::B>) -> Tensor<crate::B, 4> {
    Tensor::cat(vec![posterior.mean.clone(), posterior.logvar.clone()], 1)
}

/// Everything that both ways give.
fn check(model: &str, golden: &str) {
    let (vae, golden) = (load(model), Golden::open(golden));
    let posterior = vae.encode(golden.tensor("input.image")).unwrap();
    golden.assert_close("output.moments", moments(&posterior));
    golden.assert_close("output.mode", posterior.mode());
    golden.assert_close("output.std", posterior.std());
    golden.assert_close("output.sample", posterior.sample(golden.tensor("input.noise")).unwrap());
    golden.assert_close("output.decoded", vae.decode(golden.tensor("input.latents")).unwrap());
}

#[test]
fn like_stable_diffusion_1() {
    check("tiny-sd1/vae", "vae.safetensors");
}

#[test]
fn like_stable_diffusion_3_with_16_channels_and_without_quant_convolutions() {
    check("vaes/sd3", "vaes/sd3/golden.safetensors");
}

/// Two rows of three tiles, the last ones narrow.
#[test]
fn tiles_are_those_of_diffusers() {
    let (vae, golden) = (load("tiny-sd1/vae"), Golden::open("vae_tiled.safetensors"));
    assert_eq!(vae.config().tile_size(), 8);
    golden
        .assert_close("output.decoded", vae.decode_tiled(golden.tensor("input.latents")).unwrap());
    let small = golden.tensor::<4>("input.latents").narrow(2, 0, 8).narrow(3, 0, 7);
    let (expected, found) = (vae.decode(small.clone()), vae.decode_tiled(small));
    assert_eq!(expected.unwrap().into_data(), found.unwrap().into_data(), "one tile");
}

#[test]
fn old_attention_names() {
    check("vaes/legacy-attention", "vaes/sd3/golden.safetensors");
}

#[test]
fn one_level_without_attention() {
    check("vaes/no-mid-attention", "vaes/no-mid-attention/golden.safetensors");
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    let (vae, golden) = (load("tiny-sd1/vae"), Golden::open("vae.safetensors"));
    let latents = golden.tensor::<4>("input.latents");
    let together = vae.decode(latents.clone()).unwrap();
    let alone = vae.decode(latents.narrow(0, 1, 1)).unwrap();
    let (expected, found) = (together.narrow(0, 1, 1).into_data(), alone.into_data());
    assert!(crate::golden::relative_l2(&expected, &found) < 1e-6);
}

#[test]
fn results_lie_in_memory_as_their_shape_says() {
    let (vae, golden) = (load("vaes/sd3"), Golden::open("vaes/sd3/golden.safetensors"));
    let posterior = vae.encode(golden.tensor("input.image")).unwrap();
    // Burn 0.21 reorders the elements of shared permuted tensors here.
    let shared = posterior.mean.clone();
    let (expected, found) = (shared.clone().into_data(), shared.abs().into_data());
    for (expected, found) in expected.iter::<f32>().zip(found.iter::<f32>()) {
        assert_eq!(expected.abs(), found);
    }
}
