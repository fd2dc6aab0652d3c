//! What the encoder says about the latents.

use burn::tensor::{Tensor, backend::Backend};

use sd_kernels::layout::to_channels_first;

use crate::VaeError;

/// A normal distribution with a mean and a variance for each element (<https://arxiv.org/abs/1312.6114>).
#[derive(Debug, Clone)]
pub struct DiagonalGaussian<B: Backend> {
    /// `[batch, latent channels, height, width]`.
    pub mean: Tensor<B, 4>,
    /// Logarithm of the variance, in −30..20; as the mean.
    pub logvar: Tensor<B, 4>,
}

impl<B: Backend> DiagonalGaussian<B> {
    /// Splits the encoder's output.
    ///
    /// # Shapes
    /// - moments: `[batch, height, width, 2 · latent channels]`, means first
    pub(crate) fn from_moments(moments: Tensor<B, 4>) -> Self {
        let channels = moments.dims()[3] / 2;
        let mean = moments.clone().narrow(3, 0, channels);
        let logvar = moments.narrow(3, channels, channels);
        Self { mean: to_channels_first(mean), logvar: to_channels_first(logvar).clamp(-30.0, 20.0) }
    }

    /// The most probable latents, which are the mean.
    pub fn mode(&self) -> Tensor<B, 4> {
        self.mean.clone()
    }

    /// The standard deviation.
    pub fn std(&self) -> Tensor<B, 4> {
        (self.logvar.clone() * 0.5).exp()
    }

    /// `mean + std · noise`.
    ///
    /// # Shapes
    /// - noise: as the mean, of unit variance
    ///
    /// # Errors
    /// [`VaeError::Noise`] when it has another shape.
    pub fn sample(&self, noise: Tensor<B, 4>) -> Result<Tensor<B, 4>, VaeError> {
        let (expected, found) = (self.mean.dims(), noise.dims());
        if expected != found {
            return Err(VaeError::Noise { expected, found });
        }
        Ok(self.mean.clone() + self.std() * noise.cast(self.mean.dtype()))
    }
}
