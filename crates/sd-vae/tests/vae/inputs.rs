//! Images, latents and noise of the wrong shape.

use burn::tensor::{DType, Tensor};
use sd_vae::{AutoencoderKLConfig, VaeError};

use crate::{B, golden::Golden, load};

fn zeros(shape: [usize; 4]) -> Tensor<B, 4> {
    Tensor::zeros(shape, (&Default::default(), DType::F32))
}

#[test]
fn the_factor_has_to_divide_an_images_sides() {
    let vae = load("tiny-sd1/vae");
    assert_eq!(vae.config().factor(), 8);
    let odd = Golden::open("vae.safetensors").tensor("odd/input.image");
    let error = vae.encode(odd).unwrap_err();
    assert_eq!(error, VaeError::Size { width: 21, height: 27, factor: 8 });
    assert_eq!(error.to_string(), "an image of 21×27 pixels, expected multiples of 8");
    assert!(vae.encode(zeros([1, 3, 16, 20])).is_err());
    assert!(vae.encode(zeros([1, 3, 4, 16])).is_err());
}

#[test]
fn channels_have_to_be_the_models_and_nothing_empty() {
    let vae = load("tiny-sd1/vae");
    for found in [[1, 4, 8, 8], [0, 3, 8, 8], [1, 3, 0, 8], [1, 3, 8, 0]] {
        let error = vae.encode(zeros(found)).unwrap_err();
        assert_eq!(error, VaeError::Shape { what: "image", channels: 3, found });
    }
    for found in [[1, 3, 8, 8], [1, 16, 8, 8], [0, 4, 8, 8], [1, 4, 8, 0]] {
        let error = vae.decode(zeros(found)).unwrap_err();
        assert_eq!(error, VaeError::Shape { what: "latents", channels: 4, found });
    }
    let message = vae.decode(zeros([1, 3, 8, 8])).unwrap_err().to_string();
    assert!(
        message.starts_with("latents of shape [1, 3, 8, 8], expected [batch, 4, "),
        "{message}"
    );
}

#[test]
fn noise_has_the_shape_of_the_latents() {
    let posterior = load("tiny-sd1/vae").encode(zeros([2, 3, 8, 16])).unwrap();
    let found = [1, 4, 1, 2];
    let error = posterior.sample(zeros(found)).unwrap_err();
    assert_eq!(error, VaeError::Noise { expected: [2, 4, 1, 2], found });
}

#[test]
fn the_logarithm_of_the_variance_is_clamped() {
    let golden = Golden::open("vaes/sd3/golden.safetensors");
    let vae = load("vaes/sd3");
    // Far outside of what the model was made for, both ends are reached.
    let image = golden.tensor::<4>("input.image") * 1e4;
    let mut posterior = vae.encode(image).unwrap();
    let log: Vec<f32> = posterior.logvar.to_data().iter().collect();
    assert!(log.iter().all(|value| (-30.0..=20.0).contains(value)));
    posterior.logvar = posterior.logvar.zeros_like() + 20.0;
    let std: Vec<f32> = posterior.std().to_data().iter().collect();
    assert!(std.iter().all(|std| (std / 10f32.exp() - 1.0).abs() < 1e-5));
}

#[test]
fn factors_follow_from_the_levels() {
    let factor = |levels| {
        AutoencoderKLConfig { block_out_channels: vec![32; levels], ..Default::default() }.factor()
    };
    assert_eq!([1, 2, 3, 4, 5].map(factor), [1, 2, 4, 8, 16]);
}
