//! The autoencoder as a [`LatentCodec`].

use std::{path::Path, sync::OnceLock};

use burn::tensor::{DType, FloatDType, Tensor};
use sd_kernels::DiffusionBackend;
use sd_nn::{
    Precision,
    checkpoint::{
        ParameterError, ParameterMap, ParameterView, Parameters, WeightSource, open_weights, tables,
    },
    config::ConfigFile,
};
use sd_vae::{AutoencoderKL, AutoencoderKLConfig, VaeError};

use super::{check_weights, load_weights, open_config};
use crate::{
    Error,
    component::{LatentCodec, PosteriorDraw},
};

/// `AutoencoderKL`, which scales latents as its configuration says.
///
/// SDXL's overflows in f16. When a result in f16 is not finite, it is made again in f32, with a warning; from then on
/// everything is computed in f32. What is decoded in f32 goes by tiles if it is large; what is encoded always goes whole, so
/// the latents are those of f32 from the start, and need its memory.
#[derive(Debug, Clone)]
pub struct VaeCodec<B: DiffusionBackend> {
    model: AutoencoderKL<B>,
    /// Whether the model computes in f16, so that it may overflow.
    narrow: bool,
    /// The model in f32, once it is known to overflow.
    wide: OnceLock<AutoencoderKL<B>>,
}

impl<B: DiffusionBackend> VaeCodec<B> {
    /// A codec of a model.
    pub fn new(model: AutoencoderKL<B>) -> Self {
        let narrow = model.dtype() == DType::F16;
        Self { model, narrow, wide: OnceLock::new() }
    }

    /// The module of a configuration, with weights that are drawn at their first use.
    fn module(file: &ConfigFile, device: &B::Device) -> Result<AutoencoderKL<B>, Error> {
        let config = AutoencoderKLConfig::from_file(file)?;
        if config.out_channels != 3 {
            return Err(Error::ImageChannels { found: config.out_channels });
        }
        config.init::<B>(device).map_err(|error| Error::component("vae", error))
    }

    /// Compares a directory's weights with its configuration.
    pub(crate) fn check(directory: &Path) -> Result<(), Error> {
        let model = Self::module(&open_config(directory)?, &B::Device::default())?;
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
        let config = open_config(directory)?;
        Self::from_source(&config, &open_weights(directory, variant)?, device, precision)
    }

    /// Loads a configuration and weights under diffusers' names, wherever they are from: a
    /// [`Component`](sd_nn::checkpoint::Component) of a single file, for one.
    ///
    /// # Errors
    /// When the configuration makes no model, or the weights are not those of it.
    pub fn from_source(
        config: &ConfigFile,
        weights: &dyn WeightSource,
        device: &B::Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let model = Self::module(config, device)?;
        Ok(Self::new(load_weights::<B, _>(model, weights, precision, tables::vae)?))
    }

    /// The model.
    pub fn model(&self) -> &AutoencoderKL<B> {
        &self.model
    }

    /// `narrow` of the model, or `wide` of the model in f32 when the first overflows, or one has overflowed before.
    fn guarded(
        &self,
        narrow: impl Fn(&AutoencoderKL<B>) -> Result<Tensor<B, 4>, Error>,
        wide: impl Fn(&AutoencoderKL<B>) -> Result<Tensor<B, 4>, Error>,
        widen: impl Fn(&AutoencoderKL<B>) -> Result<AutoencoderKL<B>, Error>,
    ) -> Result<Tensor<B, 4>, Error> {
        if let Some(model) = self.wide.get() {
            return wide(model);
        }
        let result = narrow(&self.model)?;
        if !self.narrow || finite(&result)? {
            return Ok(result);
        }
        tracing::warn!("the vae overflows in f16, so it is used in f32 from here on");
        let model = widen(&self.model)?;
        wide(self.wide.get_or_init(|| model))
    }

    fn decode_with(
        &self,
        latents: Tensor<B, 4>,
        widen: impl Fn(&AutoencoderKL<B>) -> Result<AutoencoderKL<B>, Error>,
    ) -> Result<Tensor<B, 4>, Error> {
        // Unscaled in f32: in f16 the division alone would round.
        let latents = self.model.config().unscale_latents(latents.cast(DType::F32));
        if self.narrow && !finite(&latents)? {
            return Err(Error::LatentsNotFinite);
        }
        self.guarded(
            |model| model.decode(latents.clone()).map_err(failed),
            |model| model.decode_tiled(latents.clone()).map_err(failed),
            widen,
        )
    }
}

fn failed(error: VaeError) -> Error {
    Error::component("vae", error)
}

/// The same model in f32.
fn widened<B: DiffusionBackend>(model: &AutoencoderKL<B>) -> Result<AutoencoderKL<B>, Error> {
    let mut model = model.clone();
    model.map_parameters(&mut |_, value| value.cast(FloatDType::F32))?;
    Ok(model)
}

/// Whether all values of an f32 tensor are finite, by one number from the device: their sum is not if one of them is not.
fn finite<B: DiffusionBackend>(tensor: &Tensor<B, 4>) -> Result<bool, Error> {
    let sum = tensor.clone().sum().try_into_data();
    let sum = sum.map_err(|error| Error::Device(error.to_string()))?;
    Ok(sum.iter::<f32>().all(f32::is_finite))
}

impl<B: DiffusionBackend> LatentCodec<B> for VaeCodec<B> {
    fn factor(&self) -> usize {
        self.model.config().factor()
    }

    fn latent_channels(&self) -> usize {
        self.model.config().latent_channels
    }

    fn scaling_factor(&self) -> Option<f64> {
        Some(self.model.config().scaling_factor)
    }

    fn decode(&self, latents: Tensor<B, 4>) -> Result<Tensor<B, 4>, Error> {
        self.decode_with(latents, widened)
    }

    fn encode(&self, image: Tensor<B, 4>, draw: PosteriorDraw<B>) -> Result<Tensor<B, 4>, Error> {
        let image = image.cast(DType::F32);
        let encode = |model: &AutoencoderKL<B>| {
            let posterior = model.encode(image.clone()).map_err(failed)?;
            match draw.clone() {
                PosteriorDraw::Mode => Ok(posterior.mode()),
                PosteriorDraw::Sample(noise) => posterior.sample(noise).map_err(failed),
            }
        };
        let latents = self.guarded(encode, encode, widened)?;
        Ok(self.model.config().scale_latents(latents))
    }
}

impl<B: DiffusionBackend> Parameters<B> for VaeCodec<B> {
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        self.model.visit_parameters(visit);
    }

    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        self.wide = OnceLock::new();
        self.model.map_parameters(map)?;
        self.narrow = self.model.dtype() == DType::F16;
        Ok(())
    }
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use std::cell::Cell;

    use super::*;

    type B = crate::backend::Cpu;

    const CONFIG: &str = r#"{"block_out_channels": [4, 4], "norm_num_groups": 2, "sample_size": 8,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;

    fn model() -> AutoencoderKL<B> {
        let config: AutoencoderKLConfig =
            ConfigFile::from_text("vae", CONFIG).unwrap().parse().unwrap();
        config.init::<B>(&Default::default()).unwrap()
    }

    /// A codec that takes itself for one in f16, and whose weights are beyond all numbers.
    fn broken(model: &AutoencoderKL<B>) -> VaeCodec<B> {
        let mut broken = model.clone();
        broken
            .map_parameters(&mut |path, value| match path {
                "decoder.conv_out.bias" => {
                    let bias = value.into_tensor::<1>().unwrap();
                    bias.add_scalar(f32::INFINITY).into()
                }
                _ => value,
            })
            .unwrap();
        VaeCodec { narrow: true, ..VaeCodec::new(broken) }
    }

    #[test]
    fn what_overflows_is_made_again() {
        let model = model();
        let codec = broken(&model);
        let latents = Tensor::<B, 4>::ones([1, 4, 6, 5], &Default::default());
        let widened = Cell::new(0);
        let widen = |_: &AutoencoderKL<B>| {
            widened.set(widened.get() + 1);
            Ok(model.clone())
        };
        let unscaled = model.config().unscale_latents(latents.clone());
        let expected = model.decode_tiled(unscaled).unwrap().into_data();
        for _ in 0..2 {
            let found = codec.decode_with(latents.clone(), widen).unwrap();
            assert_eq!(found.into_data(), expected);
        }
        assert_eq!(widened.get(), 1, "once");
        let again = VaeCodec { narrow: false, ..broken(&model) };
        let decoded = again.decode_with(latents, widen).unwrap();
        assert!(!finite(&decoded).unwrap(), "only f16 is in doubt");
    }

    /// From f64 here, which the CPU has beside f32.
    #[test]
    fn all_weights_are_turned_into_f32_with_their_values() {
        let mut other = model();
        let values = |model: &AutoencoderKL<B>| {
            let mut values = Vec::new();
            model.visit_parameters(&mut |view| {
                let data = view.tensor().try_into_data().unwrap();
                values.push((data.dtype, data.iter::<f32>().collect::<Vec<_>>()));
            });
            values
        };
        let expected = values(&other);
        assert!(expected.len() > 10);
        other.map_parameters(&mut |_, value| value.cast(FloatDType::F64)).unwrap();
        assert!(values(&other).iter().all(|(dtype, _)| *dtype == DType::F64));
        let wide = widened(&other).unwrap();
        assert!(values(&wide) == expected && wide.dtype() == DType::F32);
    }

    #[test]
    fn latents_that_are_no_numbers_are_not_decoded_twice() {
        let codec = broken(&model());
        let latents = Tensor::<B, 4>::full([1, 4, 4, 4], f32::NAN, &Default::default());
        let error = codec.decode_with(latents, |_| unreachable!("not widened")).unwrap_err();
        assert!(matches!(error, Error::LatentsNotFinite));
        assert!(codec.wide.get().is_none());
    }
}
