//! Training of the autoencoder.

use burn::tensor::{FloatDType, Tensor, backend::Backend};
use sd_kernels::DiffusionBackend;
use sd_schedulers::{NoiseGenerator, normal};
use sd_vae::{AutoencoderKL, VaeError};
use serde::{Deserialize, Serialize};

use crate::objective::Loss;

/// What an autoencoder is trained for: pictures that come back, latents that are near a normal distribution, and edges that
/// stay sharp, for which no other network is needed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AutoencoderObjective {
    /// Distance of the pictures. Default: of magnitudes.
    pub reconstruction: Loss,
    /// Weight of the divergence of the posterior from a unit normal distribution, per latent. Default: 1e-6.
    pub kl: f64,
    /// Weight of the distance of the differences between neighbouring pixels, over three scales. Default: 1.
    pub edges: f64,
}

impl Default for AutoencoderObjective {
    fn default() -> Self {
        Self { reconstruction: Loss::L1, kl: 1e-6, edges: 1.0 }
    }
}

/// Scales at which edges are compared: every pixel, means of 2×2, of 4×4.
const EDGE_SCALES: usize = 3;

/// The terms of a loss, `[1]` each, before their weights.
#[derive(Debug, Clone)]
pub struct AutoencoderTerms<B: Backend> {
    /// Distance of the pictures.
    pub reconstruction: Tensor<B, 1>,
    /// Divergence of the posterior, per latent.
    pub kl: Tensor<B, 1>,
    /// Distance of the edges.
    pub edges: Tensor<B, 1>,
    /// The weighted sum, which is to fall.
    pub total: Tensor<B, 1>,
}

impl AutoencoderObjective {
    /// The loss on a batch of pictures.
    ///
    /// # Shapes
    /// - images: `[batch, 3, height, width]`, −1 to 1
    ///
    /// # Errors
    /// When the pictures do not fit the model.
    pub fn loss<B: DiffusionBackend>(
        &self,
        model: &AutoencoderKL<B>,
        images: Tensor<B, 4>,
        generator: &mut dyn NoiseGenerator,
    ) -> Result<AutoencoderTerms<B>, VaeError> {
        let posterior = model.encode(images.clone())?;
        let shape = posterior.mean.dims();
        let noise = normal::<B, 4>(generator, shape, &images.device());
        let decoded = model.decode(posterior.sample(noise)?)?;
        let [mean, logvar] =
            [posterior.mean, posterior.logvar].map(|tensor| tensor.cast(FloatDType::F32));
        let kl = (mean.clone() * mean + logvar.clone().exp() - logvar - 1.0).mean() * 0.5;
        let even = vec![1.0; shape[0]];
        let reconstruction = self.reconstruction.of(decoded.clone(), images.clone(), &even);
        let edges = edge_distance(decoded, images);
        let total = reconstruction.clone() + kl.clone() * self.kl + edges.clone() * self.edges;
        Ok(AutoencoderTerms { reconstruction, kl, edges, total })
    }
}

/// The mean distance of differences between neighbours, over the scales.
fn edge_distance<B: Backend>(found: Tensor<B, 4>, expected: Tensor<B, 4>) -> Tensor<B, 1> {
    let mut difference = found.cast(FloatDType::F32) - expected.cast(FloatDType::F32);
    let mut sum = edges(difference.clone());
    for _ in 1..EDGE_SCALES {
        let [_, _, height, width] = difference.dims();
        if height < 4 || width < 4 {
            break;
        }
        difference = halved(difference);
        sum = sum + edges(difference.clone());
    }
    sum / EDGE_SCALES as f64
}

/// Magnitudes of the differences to the right and below: differences are linear, so those of the difference of two pictures
/// are the difference of theirs.
fn edges<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 1> {
    let [_, _, height, width] = image.dims();
    let along = |axis: usize, size: usize| {
        let (first, second) =
            (image.clone().narrow(axis, 0, size - 1), image.clone().narrow(axis, 1, size - 1));
        (second - first).abs().mean()
    };
    along(3, width) + along(2, height)
}

/// Means of 2×2 pixels; an odd last row or column is left out.
fn halved<B: Backend>(image: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, channels, height, width] = image.dims();
    let (rows, columns) = (height / 2, width / 2);
    let image = image.narrow(2, 0, 2 * rows).narrow(3, 0, 2 * columns);
    image
        .reshape([batch * channels, rows, 2, columns * 2])
        .mean_dim(2)
        .reshape([batch * channels, rows, columns, 2])
        .mean_dim(3)
        .reshape([batch, channels, rows, columns])
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn image(values: impl Fn(usize, usize) -> f32) -> Tensor<B, 4> {
        let values: Vec<f32> = (0..64).map(|index| values(index % 8, index / 8)).collect();
        Tensor::from_data(TensorData::new(values, [1, 1, 8, 8]), &Default::default())
    }

    #[test]
    fn edges_see_what_a_shift_of_brightness_does_not() {
        let (flat, brighter) = (image(|_, _| 0.0), image(|_, _| 0.5));
        assert_eq!(edge_distance(flat.clone(), brighter).into_scalar(), 0.0);
        let step = image(|x, _| if x < 4 { 0.0 } else { 1.0 });
        // One column of seven differs, one of three, and one of one.
        let expected = (1.0 / 7.0 + 1.0 / 3.0 + 1.0) / 3.0;
        assert!((edge_distance(flat, step).into_scalar() - expected).abs() < 1e-6);
    }
}
