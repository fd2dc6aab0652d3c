//! The whole autoencoder.

use burn::{
    module::Module,
    tensor::{DType, Tensor, backend::Backend},
};
use sd_kernels::{
    DiffusionBackend,
    layout::{to_channels_first, to_channels_last},
};
use sd_nn::{Conv2d, Conv2dConfig};

use crate::{
    AutoencoderKLConfig, Decoder, DiagonalGaussian, Encoder, VaeConfigError, VaeError,
    blocks::{BlockConfig, MidAttention},
};

/// The autoencoder of latent diffusion (<https://arxiv.org/abs/2112.10752>, diffusers' `AutoencoderKL`).
///
/// It computes in the dtype of its weights. Inputs of another one are cast, and outputs have the dtype of the input.
#[derive(Module, Debug)]
pub struct AutoencoderKL<B: Backend> {
    encoder: Encoder<B>,
    decoder: Decoder<B>,
    quant_conv: Option<Conv2d<B>>,
    post_quant_conv: Option<Conv2d<B>>,
    config: AutoencoderKLConfig,
}

impl AutoencoderKLConfig {
    /// A model with weights that are drawn at their first use.
    ///
    /// # Errors
    /// [`VaeConfigError`], which names the key.
    pub fn init<B: DiffusionBackend>(
        &self,
        device: &B::Device,
    ) -> Result<AutoencoderKL<B>, VaeConfigError> {
        self.validate()?;
        let blocks = BlockConfig { groups: self.norm_num_groups, activation: self.activation()? };
        let attention = self.mid_block_add_attention.then_some(MidAttention);
        let pointwise = |channels| Conv2dConfig::new(channels, channels, 1).init(device);
        Ok(AutoencoderKL {
            encoder: Encoder::new(self, blocks, attention, device),
            decoder: Decoder::new(self, blocks, attention, device),
            quant_conv: self.use_quant_conv.then(|| pointwise(2 * self.latent_channels)),
            post_quant_conv: self.use_post_quant_conv.then(|| pointwise(self.latent_channels)),
            config: self.clone(),
        })
    }
}

impl<B: Backend> AutoencoderKL<B> {
    /// What the model was built from.
    pub fn config(&self) -> &AutoencoderKLConfig {
        &self.config
    }
}

impl<B: DiffusionBackend> AutoencoderKL<B> {
    /// The dtype that the decoder computes in: that of its first weight.
    pub fn dtype(&self) -> DType {
        weight_dtype(&self.decoder.conv_in)
    }

    /// Encodes images; their latents are not scaled (see [`AutoencoderKLConfig::scale_latents`]).
    ///
    /// # Shapes
    /// - image: `[batch, in_channels, height, width]`, −1..1, both sides multiples of the factor
    /// - output: `[batch, latent_channels, height / factor, width / factor]`
    ///
    /// # Errors
    /// [`VaeError::Shape`] for other channels or an empty image, [`VaeError::Size`] for sides that the factor does not
    /// divide.
    pub fn encode(&self, image: Tensor<B, 4>) -> Result<DiagonalGaussian<B>, VaeError> {
        let [_, _, height, width] = check("image", &image, self.config.in_channels)?;
        let factor = self.config.factor();
        if !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
            return Err(VaeError::Size { width, height, factor });
        }
        let dtype = image.dtype();
        let image = to_channels_last(image).cast(weight_dtype(&self.encoder.conv_in));
        let moments = self.encoder.forward(image);
        let moments = match &self.quant_conv {
            Some(conv) => conv.forward(moments),
            None => moments,
        };
        Ok(DiagonalGaussian::from_moments(moments.cast(dtype)))
    }

    /// Decodes latents; they have to be unscaled (see [`AutoencoderKLConfig::unscale_latents`]).
    ///
    /// # Shapes
    /// - latents: `[batch, latent_channels, height, width]`
    /// - output: `[batch, out_channels, height · factor, width · factor]`, about −1..1, not clamped
    ///
    /// # Errors
    /// [`VaeError::Shape`] for other channels or empty latents.
    pub fn decode(&self, latents: Tensor<B, 4>) -> Result<Tensor<B, 4>, VaeError> {
        check("latents", &latents, self.config.latent_channels)?;
        let dtype = latents.dtype();
        let latents = to_channels_last(latents).cast(weight_dtype(&self.decoder.conv_in));
        let latents = match &self.post_quant_conv {
            Some(conv) => conv.forward(latents),
            None => latents,
        };
        Ok(to_channels_first(self.decoder.forward(latents).cast(dtype)))
    }
}

fn check<B: Backend>(
    what: &'static str,
    image: &Tensor<B, 4>,
    channels: usize,
) -> Result<[usize; 4], VaeError> {
    let found = image.dims();
    if found[1] == channels && !found.contains(&0) {
        return Ok(found);
    }
    Err(VaeError::Shape { what, channels, found })
}

/// The dtype that a model computes in: that of its first weight.
fn weight_dtype<B: DiffusionBackend>(conv: &Conv2d<B>) -> DType {
    conv.weight.get().dtype()
}
