//! Images to moments of latents.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, DiffusionBackend};
use sd_nn::{Conv2d, Conv2dConfig, GroupNorm};

use crate::{
    AutoencoderKLConfig, DownEncoderBlock2D, UNetMidBlock2D,
    blocks::{BlockConfig, LevelEnd, MidAttention},
};

/// The encoder (diffusers' `autoencoders/vae.py`).
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    pub(crate) conv_in: Conv2d<B>,
    down_blocks: Vec<DownEncoderBlock2D<B>>,
    mid_block: UNetMidBlock2D<B>,
    conv_norm_out: GroupNorm<B>,
    conv_out: Conv2d<B>,
}

impl<B: DiffusionBackend> Encoder<B> {
    /// An encoder by a valid configuration.
    pub(crate) fn new(
        config: &AutoencoderKLConfig,
        blocks: BlockConfig,
        attention: Option<MidAttention>,
        device: &B::Device,
    ) -> Self {
        let widths = &config.block_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let level = |index: usize| {
            let channels = [widths[index.saturating_sub(1)], widths[index]];
            let end = LevelEnd::of(index, widths.len());
            blocks.down(channels, config.layers_per_block, end, device)
        };
        Self {
            conv_in: Conv2dConfig::new(config.in_channels, first, 3).init(device),
            down_blocks: (0..widths.len()).map(level).collect(),
            mid_block: blocks.mid(last, attention, device),
            conv_norm_out: blocks.norm(last).init(device),
            conv_out: Conv2dConfig::new(last, 2 * config.latent_channels, 3).init(device),
        }
    }

    /// Applies the encoder.
    ///
    /// # Shapes
    /// - image: `[batch, height, width, in_channels]`
    /// - output: `[batch, height / factor, width / factor, 2 · latent_channels]`
    pub fn forward(&self, image: Tensor<B, 4>) -> Tensor<B, 4> {
        let image = self.conv_in.forward(image);
        let image = self.down_blocks.iter().fold(image, |image, block| block.forward(image));
        let image = self.mid_block.forward(image);
        // SiLU here, whatever the configuration says about the blocks.
        let image = self.conv_norm_out.forward_with(image, None, Some(Activation::Silu));
        self.conv_out.forward(image)
    }
}
