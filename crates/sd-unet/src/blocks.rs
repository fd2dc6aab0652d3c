//! The levels of the U-Net (diffusers' `models/unets/unet_2d_blocks.py`).
//!
//! Blocks with and without cross-attention are one type: the latter have no transformers, and no keys for them.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{AttentionMask, ConvInput, DiffusionBackend};
use sd_nn::{
    Downsample2D, Downsample2DConfig, ResnetBlock2D, ResnetBlock2DConfig, Transformer2D,
    Transformer2DConfig, Upsample2D, Upsample2DConfig,
};

/// What every block sees beside the image.
pub(crate) struct Conditioning<B: Backend> {
    /// Activated time embedding, `[batch, time]`.
    pub(crate) time: Tensor<B, 2>,
    /// `[batch, keys, context]`.
    pub(crate) context: Tensor<B, 3>,
    /// Over the keys of the context.
    pub(crate) mask: AttentionMask<B>,
}

/// Configuration of a [`DownBlock`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DownBlockConfig {
    /// At least one.
    pub(crate) resnets: Vec<ResnetBlock2DConfig>,
    /// One for each ResNet block, or none.
    pub(crate) attentions: Vec<Transformer2DConfig>,
    /// After all of them.
    pub(crate) downsampler: Option<Downsample2DConfig>,
}

/// A level of the way down: `DownBlock2D` or `CrossAttnDownBlock2D`.
#[derive(Module, Debug)]
pub(crate) struct DownBlock<B: Backend> {
    resnets: Vec<ResnetBlock2D<B>>,
    attentions: Vec<Transformer2D<B>>,
    downsamplers: Vec<Downsample2D<B>>,
}

/// Configuration of a [`MidBlock`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MidBlockConfig {
    /// One more than transformers.
    pub(crate) resnets: Vec<ResnetBlock2DConfig>,
    /// Between them.
    pub(crate) attentions: Vec<Transformer2DConfig>,
}

/// The middle: `UNetMidBlock2D` or `UNetMidBlock2DCrossAttn`.
#[derive(Module, Debug)]
pub(crate) struct MidBlock<B: Backend> {
    attentions: Vec<Transformer2D<B>>,
    resnets: Vec<ResnetBlock2D<B>>,
}

/// Configuration of an [`UpBlock`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UpBlockConfig {
    /// One more than on the way down; each reads a skip.
    pub(crate) resnets: Vec<ResnetBlock2DConfig>,
    /// One for each ResNet block, or none.
    pub(crate) attentions: Vec<Transformer2DConfig>,
    /// After all of them.
    pub(crate) upsampler: Option<Upsample2DConfig>,
}

/// A level of the way up: `UpBlock2D` or `CrossAttnUpBlock2D`.
#[derive(Module, Debug)]
pub(crate) struct UpBlock<B: Backend> {
    resnets: Vec<ResnetBlock2D<B>>,
    attentions: Vec<Transformer2D<B>>,
    upsamplers: Vec<Upsample2D<B>>,
}

fn resnets<B: DiffusionBackend>(
    configs: &[ResnetBlock2DConfig],
    device: &B::Device,
) -> Vec<ResnetBlock2D<B>> {
    configs.iter().map(|config| config.init(device)).collect()
}

fn transformers<B: DiffusionBackend>(
    configs: &[Transformer2DConfig],
    device: &B::Device,
) -> Vec<Transformer2D<B>> {
    configs.iter().map(|config| config.init(device)).collect()
}

impl DownBlockConfig {
    /// A block with weights that are drawn at their first use.
    pub(crate) fn init<B: DiffusionBackend>(&self, device: &B::Device) -> DownBlock<B> {
        DownBlock {
            resnets: resnets(&self.resnets, device),
            attentions: transformers(&self.attentions, device),
            downsamplers: self.downsampler.iter().map(|config| config.init(device)).collect(),
        }
    }
}

impl MidBlockConfig {
    /// A block with weights that are drawn at their first use.
    pub(crate) fn init<B: DiffusionBackend>(&self, device: &B::Device) -> MidBlock<B> {
        MidBlock {
            attentions: transformers(&self.attentions, device),
            resnets: resnets(&self.resnets, device),
        }
    }
}

impl UpBlockConfig {
    /// A block with weights that are drawn at their first use.
    pub(crate) fn init<B: DiffusionBackend>(&self, device: &B::Device) -> UpBlock<B> {
        UpBlock {
            resnets: resnets(&self.resnets, device),
            attentions: transformers(&self.attentions, device),
            upsamplers: self.upsampler.iter().map(|config| config.init(device)).collect(),
        }
    }
}

/// The transformer that follows a ResNet block, if there is one.
fn attend<B: DiffusionBackend>(
    transformer: Option<&Transformer2D<B>>,
    image: Tensor<B, 4>,
    conditioning: &Conditioning<B>,
) -> Tensor<B, 4> {
    match transformer {
        Some(transformer) => {
            transformer.forward(image, Some(&conditioning.context), &conditioning.mask)
        }
        None => image,
    }
}

impl<B: DiffusionBackend> DownBlock<B> {
    /// Applies the level and appends its skips: the output of each layer, and of the downsampling.
    ///
    /// # Shapes
    /// - image: `[batch, height, width, in]`
    /// - output: `[batch, ⌈height / 2⌉, ⌈width / 2⌉, out]`, or as high and wide as the image in the last level
    pub(crate) fn forward(
        &self,
        mut image: Tensor<B, 4>,
        conditioning: &Conditioning<B>,
        skips: &mut Vec<Tensor<B, 4>>,
    ) -> Tensor<B, 4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            image = resnet.forward(image, Some(&conditioning.time));
            image = attend(self.attentions.get(index), image, conditioning);
            skips.push(image.clone());
        }
        for downsampler in &self.downsamplers {
            image = downsampler.forward(image);
            skips.push(image.clone());
        }
        image
    }
}

impl<B: DiffusionBackend> MidBlock<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - image, output: `[batch, height, width, channels]`
    pub(crate) fn forward(
        &self,
        mut image: Tensor<B, 4>,
        conditioning: &Conditioning<B>,
    ) -> Tensor<B, 4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            image = resnet.forward(image, Some(&conditioning.time));
            image = attend(self.attentions.get(index), image, conditioning);
        }
        image
    }
}

impl<B: DiffusionBackend> UpBlock<B> {
    /// Takes a skip for each layer off the end of `skips`, applies the level, and enlarges the image to the size of the
    /// next skip, which is not twice the image's when a level could not be halved evenly.
    ///
    /// # Shapes
    /// - image: `[batch, height, width, in]`
    /// - output: `[batch, next height, next width, out]`, or as high and wide as the image in the last level
    pub(crate) fn forward(
        &self,
        mut image: Tensor<B, 4>,
        conditioning: &Conditioning<B>,
        skips: &mut Vec<Tensor<B, 4>>,
    ) -> Tensor<B, 4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            let skip =
                skips.pop().expect("the way down leaves a skip for each layer of the way up");
            image = resnet.forward(ConvInput::pair(image, skip), Some(&conditioning.time));
            image = attend(self.attentions.get(index), image, conditioning);
        }
        for upsampler in &self.upsamplers {
            let size = skips.last().map(|skip| {
                let [_, height, width, _] = skip.dims();
                [height, width]
            });
            image = upsampler.forward(image, size);
        }
        image
    }
}
