//! The autoencoder as a [`LatentCodec`].

use std::path::Path;

use burn::tensor::{DType, Tensor};
use sd_kernels::DiffusionBackend;
use sd_nn::{
    Precision,
    checkpoint::{ParameterError, ParameterMap, ParameterView, Parameters, tables},
};
use sd_vae::{AutoencoderKL, AutoencoderKLConfig};

use super::{check_weights, load_weights};
use crate::{
    Error,
    component::{LatentCodec, PosteriorDraw},
};

/// `AutoencoderKL`, which scales latents as its configuration says.
#[derive(Debug, Clone)]
pub struct VaeCodec<B: DiffusionBackend> {
    model: AutoencoderKL<B>,
}

impl<B: DiffusionBackend> VaeCodec<B> {
    /// A codec of a model.
    pub fn new(model: AutoencoderKL<B>) -> Self {
        Self { model }
    }

    /// The module of a directory, with weights that are drawn at their first use.
    fn module(directory: &Path, device: &B::Device) -> Result<AutoencoderKL<B>, Error> {
        let config = AutoencoderKLConfig::open(directory.join("config.json"))?;
        if config.out_channels != 3 {
            return Err(Error::ImageChannels { found: config.out_channels });
        }
        config.init::<B>(device).map_err(|error| Error::component("vae", error))
    }

    /// Compares a directory's weights with its configuration.
    pub(crate) fn check(directory: &Path) -> Result<(), Error> {
        let model = Self::module(directory, &B::Device::default())?;
        Ok(check_weights::<B, _>(&model, directory, tables::vae)?)
    }

    /// Loads a `vae` directory.
    ///
    /// # Errors
    /// When a file is missing or broken.
    pub fn load(
        directory: &Path,
        device: &B::Device,
        precision: Precision,
        variant: Option<&str>,
    ) -> Result<Self, Error> {
        let model = Self::module(directory, device)?;
        let model = load_weights::<B, _>(model, directory, precision, variant, tables::vae)?;
        Ok(Self::new(model))
    }

    /// The model.
    pub fn model(&self) -> &AutoencoderKL<B> {
        &self.model
    }
}

impl<B: DiffusionBackend> LatentCodec<B> for VaeCodec<B> {
    fn factor(&self) -> usize {
        self.model.config().factor()
    }

    fn latent_channels(&self) -> usize {
        self.model.config().latent_channels
    }

    fn decode(&self, latents: Tensor<B, 4>) -> Result<Tensor<B, 4>, Error> {
        // Unscaled in f32: in f16 the division alone would round.
        let latents = self.model.config().unscale_latents(latents.cast(DType::F32));
        self.model.decode(latents).map_err(|error| Error::component("vae", error))
    }

    fn encode(&self, image: Tensor<B, 4>, draw: PosteriorDraw<B>) -> Result<Tensor<B, 4>, Error> {
        let failed = |error| Error::component("vae", error);
        let posterior = self.model.encode(image.cast(DType::F32)).map_err(failed)?;
        let latents = match draw {
            PosteriorDraw::Mode => posterior.mode(),
            PosteriorDraw::Sample(noise) => posterior.sample(noise).map_err(failed)?,
        };
        Ok(self.model.config().scale_latents(latents))
    }
}

impl<B: DiffusionBackend> Parameters<B> for VaeCodec<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.model.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.model.map_parameters(map)
    }
}
