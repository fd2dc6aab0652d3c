//! Latents to images.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, DiffusionBackend};
use sd_nn::{Conv2d, Conv2dConfig, GroupNorm};

use crate::{
    AutoencoderKLConfig, UNetMidBlock2D, UpDecoderBlock2D,
    blocks::{BlockConfig, LevelEnd, MidAttention},
};

/// The decoder (diffusers' `autoencoders/vae.py`).
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    pub(crate) conv_in: Conv2d<B>,
    mid_block: UNetMidBlock2D<B>,
    up_blocks: Vec<UpDecoderBlock2D<B>>,
    conv_norm_out: GroupNorm<B>,
    conv_out: Conv2d<B>,
}

impl<B: DiffusionBackend> Decoder<B> {
    /// A decoder by a valid configuration.
    pub(crate) fn new(
        config: &AutoencoderKLConfig,
        blocks: BlockConfig,
        attention: Option<MidAttention>,
        device: &B::Device,
    ) -> Self {
        let widths: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let level = |index: usize| {
            let channels = [widths[index.saturating_sub(1)], widths[index]];
            let end = LevelEnd::of(index, widths.len());
            blocks.up(channels, config.layers_per_block + 1, end, device)
        };
        Self {
            conv_in: Conv2dConfig::new(config.latent_channels, first, 3).init(device),
            mid_block: blocks.mid(first, attention, device),
            up_blocks: (0..widths.len()).map(level).collect(),
            conv_norm_out: blocks.norm(last).init(device),
            conv_out: Conv2dConfig::new(last, config.out_channels, 3).init(device),
        }
    }

    /// Applies the decoder.
    ///
    /// # Shapes
    /// - latents: `[batch, height, width, latent_channels]`
    /// - output: `[batch, height · factor, width · factor, out_channels]`
    pub fn forward(&self, latents: Tensor<B, 4>) -> Tensor<B, 4> {
        let image = self.conv_in.forward(latents);
        let image = self.mid_block.forward(image);
        let image = self.up_blocks.iter().fold(image, |image, block| block.forward(image));
        // SiLU here, whatever the configuration says about the blocks.
        let image = self.conv_norm_out.forward_with(image, None, Some(Activation::Silu));
        self.conv_out.forward(image)
    }
}
