//! Down- and upsampling.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{ConvInput, DiffusionBackend, Padding};

use crate::{Conv2d, Conv2dConfig};

/// Configuration of [`Downsample2D`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downsample2DConfig {
    /// Channels of input and output.
    pub channels: usize,
    /// All sides by 1 in the U-Net; below and to the right only in the VAE's encoder.
    pub padding: Padding,
}

/// A 3×3 convolution of stride 2 (diffusers' `models/downsampling.py`).
#[derive(Module, Debug)]
pub struct Downsample2D<B: Backend> {
    conv: Conv2d<B>,
}

impl Downsample2DConfig {
    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Downsample2D<B> {
        let conv = Conv2dConfig::new(self.channels, self.channels, 3);
        Downsample2D { conv: conv.stride(2).padding(self.padding).init(device) }
    }
}

impl<B: DiffusionBackend> Downsample2D<B> {
    /// Halves the image.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, channels]`
    /// - output: `[batch, ⌈height / 2⌉ or ⌊height / 2⌋, …, channels]` by the padding
    pub fn forward(&self, input: Tensor<B, 4>) -> Tensor<B, 4> {
        self.conv.forward(input)
    }
}

/// Configuration of [`Upsample2D`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upsample2DConfig {
    /// Channels of input and output.
    pub channels: usize,
}

/// Nearest-neighbour upsampling and a 3×3 convolution (diffusers' `models/upsampling.py`).
#[derive(Module, Debug)]
pub struct Upsample2D<B: Backend> {
    conv: Conv2d<B>,
}

impl Upsample2DConfig {
    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Upsample2D<B> {
        Upsample2D { conv: Conv2dConfig::new(self.channels, self.channels, 3).init(device) }
    }
}

impl<B: DiffusionBackend> Upsample2D<B> {
    /// Enlarges the image to `size`, or to twice its size.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, channels]`
    /// - size: `[new height, new width]`, for images of which a level could not be halved evenly
    /// - output: `[batch, new height, new width, channels]`
    pub fn forward(&self, input: Tensor<B, 4>, size: Option<[usize; 2]>) -> Tensor<B, 4> {
        let [_, height, width, _] = input.dims();
        let size = size.unwrap_or([2 * height, 2 * width]);
        self.conv.forward(ConvInput::upsampled(input, size))
    }
}
