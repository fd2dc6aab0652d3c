//! Between the autoencoder's latents and those of unit variance that diffusion models work on.

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::AutoencoderKLConfig;

/// `(latents − mean) · factor` for each channel; one entry stands for all.
struct Scaling {
    mean: Vec<f64>,
    factor: Vec<f64>,
}

impl AutoencoderKLConfig {
    /// Encoded latents → latents of unit variance: `(z − shift) · scale`, or `(z − mean) · scale / std`.
    ///
    /// # Shapes
    /// - latents, output: `[batch, latent_channels, height, width]`
    ///
    /// # Panics
    /// When the latents have another number of channels than `latents_mean`.
    pub fn scale_latents<B: Backend>(&self, latents: Tensor<B, 4>) -> Tensor<B, 4> {
        let Scaling { mean, factor } = self.scaling();
        let offset = mean.iter().zip(&factor).map(|(mean, factor)| -mean * factor).collect();
        affine(latents, factor, offset)
    }

    /// Latents of unit variance → latents to decode: the way back of [`scale_latents`](Self::scale_latents).
    ///
    /// # Shapes
    /// - latents, output: `[batch, latent_channels, height, width]`
    ///
    /// # Panics
    /// When the latents have another number of channels than `latents_mean`.
    pub fn unscale_latents<B: Backend>(&self, latents: Tensor<B, 4>) -> Tensor<B, 4> {
        let Scaling { mean, factor } = self.scaling();
        affine(latents, factor.iter().map(|factor| 1.0 / factor).collect(), mean)
    }

    fn scaling(&self) -> Scaling {
        let scale = self.scaling_factor;
        match (&self.latents_mean, &self.latents_std) {
            (Some(mean), Some(std)) => {
                Scaling { mean: mean.clone(), factor: std.iter().map(|std| scale / std).collect() }
            }
            _ => Scaling { mean: vec![self.shift_factor.unwrap_or(0.0)], factor: vec![scale] },
        }
    }
}

/// `latents · factor + offset`.
fn affine<B: Backend>(latents: Tensor<B, 4>, factor: Vec<f64>, offset: Vec<f64>) -> Tensor<B, 4> {
    if let ([factor], [offset]) = (&factor[..], &offset[..]) {
        let scaled = latents * *factor;
        return if *offset == 0.0 { scaled } else { scaled + *offset };
    }
    let (device, dtype) = (latents.device(), latents.dtype());
    let channels = |values: Vec<f64>| {
        let shape = [1, values.len(), 1, 1];
        let data = TensorData::new(values, shape).convert_dtype(dtype);
        Tensor::<B, 4>::from_data(data, (&device, dtype))
    };
    latents * channels(factor) + channels(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn latents() -> Tensor<B, 4> {
        Tensor::from_data([[[[1.0, -2.0]], [[0.5, 4.0]]]], &Default::default())
    }

    /// Scales and comes back.
    fn check(config: &AutoencoderKLConfig, expected: [f64; 4]) {
        let scaled = config.scale_latents(latents());
        for (found, expected) in scaled.to_data().iter::<f64>().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        let back = config.unscale_latents(scaled);
        back.to_data()
            .assert_approx_eq::<f32>(&latents().to_data(), burn::tensor::Tolerance::absolute(1e-6));
    }

    #[test]
    fn by_a_factor() {
        check(&Default::default(), [1.0, -2.0, 0.5, 4.0].map(|z| z * 0.18215));
    }

    #[test]
    fn by_a_shift_and_a_factor() {
        let config = AutoencoderKLConfig {
            scaling_factor: 1.5305,
            shift_factor: Some(0.0609),
            ..Default::default()
        };
        check(&config, [1.0, -2.0, 0.5, 4.0].map(|z| (z - 0.0609) * 1.5305));
    }

    #[test]
    fn by_the_statistics_of_each_channel() {
        let config = AutoencoderKLConfig {
            latent_channels: 2,
            scaling_factor: 0.5,
            latents_mean: Some(vec![-1.0, 2.0]),
            latents_std: Some(vec![4.0, 0.25]),
            ..Default::default()
        };
        check(&config, [2.0 / 8.0, -1.0 / 8.0, -1.5 * 2.0, 2.0 * 2.0]);
    }
}
