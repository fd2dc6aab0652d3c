//! The blocks that encoder and decoder are made of (diffusers' `unets/unet_2d_blocks.py`).

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, DiffusionBackend, Padding};
use sd_nn::{
    Attention, AttentionConfig, Downsample2D, Downsample2DConfig, GroupNormConfig, ResnetBlock2D,
    ResnetBlock2DConfig, TimeScaleShift, Upsample2D, Upsample2DConfig,
};

/// Added to the variance in every norm of an autoencoder.
const EPS: f64 = 1e-6;

/// What all blocks of an autoencoder have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    /// Groups of the norms.
    pub(crate) groups: usize,
    /// Activation inside of ResNet blocks.
    pub(crate) activation: Activation,
}

impl BlockConfig {
    /// A norm over `channels`.
    pub(crate) fn norm(&self, channels: usize) -> GroupNormConfig {
        GroupNormConfig { groups: self.groups, channels, eps: EPS }
    }

    fn resnet(&self, input: usize, output: usize) -> ResnetBlock2DConfig {
        ResnetBlock2DConfig {
            input,
            output,
            time_embedding: None,
            groups: self.groups,
            eps: EPS,
            activation: self.activation,
            time_scale_shift: TimeScaleShift::Default,
            output_scale_factor: 1.0,
        }
    }

    /// `count` ResNet blocks, the first of which changes the channels.
    fn resnets<B: DiffusionBackend>(
        &self,
        [input, output]: [usize; 2],
        count: usize,
        device: &B::Device,
    ) -> Vec<ResnetBlock2D<B>> {
        let input = |index| if index == 0 { input } else { output };
        (0..count).map(|index| self.resnet(input(index), output).init(device)).collect()
    }

    /// A middle block, with or without `attention`.
    pub(crate) fn mid<B: DiffusionBackend>(
        &self,
        channels: usize,
        attention: Option<MidAttention>,
        device: &B::Device,
    ) -> UNetMidBlock2D<B> {
        let config = AttentionConfig {
            qkv_bias: true,
            group_norm: Some((self.groups, EPS)),
            ..AttentionConfig::new(channels, 1, channels)
        };
        let resnet = || self.resnet(channels, channels).init(device);
        UNetMidBlock2D {
            attentions: attention.map(|MidAttention| [config.init(device)]),
            resnets: [resnet(), resnet()],
        }
    }

    /// A level of the encoder; all but the last downsample.
    pub(crate) fn down<B: DiffusionBackend>(
        &self,
        channels: [usize; 2],
        layers: usize,
        end: LevelEnd,
        device: &B::Device,
    ) -> DownEncoderBlock2D<B> {
        let downsample = Downsample2DConfig { channels: channels[1], padding: Padding::end(1) };
        DownEncoderBlock2D {
            resnets: self.resnets(channels, layers, device),
            downsamplers: (end == LevelEnd::Resample).then(|| [downsample.init(device)]),
        }
    }

    /// A level of the decoder; all but the last upsample.
    pub(crate) fn up<B: DiffusionBackend>(
        &self,
        channels: [usize; 2],
        layers: usize,
        end: LevelEnd,
        device: &B::Device,
    ) -> UpDecoderBlock2D<B> {
        let upsample = Upsample2DConfig { channels: channels[1] };
        UpDecoderBlock2D {
            resnets: self.resnets(channels, layers, device),
            upsamplers: (end == LevelEnd::Resample).then(|| [upsample.init(device)]),
        }
    }
}

/// That a middle block has attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MidAttention;

/// How a level ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LevelEnd {
    /// With a change of the image's size.
    Resample,
    /// As it is.
    Plain,
}

impl LevelEnd {
    /// Of level `index` of `count`, in the order in which they run.
    pub(crate) fn of(index: usize, count: usize) -> Self {
        if index + 1 < count { Self::Resample } else { Self::Plain }
    }
}

/// ResNet block, attention over all pixels, ResNet block.
#[derive(Module, Debug)]
pub struct UNetMidBlock2D<B: Backend> {
    attentions: Option<[Attention<B>; 1]>,
    resnets: [ResnetBlock2D<B>; 2],
}

impl<B: DiffusionBackend> UNetMidBlock2D<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - image, output: `[batch, height, width, channels]`
    pub fn forward(&self, image: Tensor<B, 4>) -> Tensor<B, 4> {
        let image = self.resnets[0].forward(image, None);
        let image = match &self.attentions {
            Some([attention]) => attention.forward_image(image),
            None => image,
        };
        self.resnets[1].forward(image, None)
    }
}

/// A level of the encoder.
#[derive(Module, Debug)]
pub struct DownEncoderBlock2D<B: Backend> {
    resnets: Vec<ResnetBlock2D<B>>,
    downsamplers: Option<[Downsample2D<B>; 1]>,
}

impl<B: DiffusionBackend> DownEncoderBlock2D<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - image: `[batch, height, width, in]`
    /// - output: `[batch, height / 2, width / 2, out]`, or of the image's size in the last level
    pub fn forward(&self, image: Tensor<B, 4>) -> Tensor<B, 4> {
        let image = self.resnets.iter().fold(image, |image, resnet| resnet.forward(image, None));
        match &self.downsamplers {
            Some([downsample]) => downsample.forward(image),
            None => image,
        }
    }
}

/// A level of the decoder.
#[derive(Module, Debug)]
pub struct UpDecoderBlock2D<B: Backend> {
    resnets: Vec<ResnetBlock2D<B>>,
    upsamplers: Option<[Upsample2D<B>; 1]>,
}

impl<B: DiffusionBackend> UpDecoderBlock2D<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - image: `[batch, height, width, in]`
    /// - output: `[batch, 2 · height, 2 · width, out]`, or of the image's size in the last level
    pub fn forward(&self, image: Tensor<B, 4>) -> Tensor<B, 4> {
        let image = self.resnets.iter().fold(image, |image, resnet| resnet.forward(image, None));
        match &self.upsamplers {
            Some([upsample]) => upsample.forward(image, None),
            None => image,
        }
    }
}
