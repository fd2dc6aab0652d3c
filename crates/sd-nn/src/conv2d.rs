//! The convolution.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, Padding, WeightRole, ops};

use crate::{LowRankConv2d, WeightParam, param};

/// Configuration of [`Conv2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step in both directions. Default: 1.
    pub stride: usize,
    /// Zero padding. Default: `kernel / 2` on all sides.
    pub padding: Padding,
}

/// A convolution over `[batch, height, width, channels]`, plus the low-rank branches that adapters attached.
#[derive(Module, Debug)]
pub struct Conv2d<B: Backend> {
    /// `[out, kernel_h, kernel_w, in]`.
    pub weight: WeightParam<B, 4>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// Additions to the weight, empty unless an adapter is attached.
    pub low_rank: Vec<LowRankConv2d<B>>,
    options: Conv2dOptions,
}

impl Conv2dConfig {
    /// A convolution that keeps the image's size (for odd kernels).
    pub const fn new(input: usize, output: usize, kernel: usize) -> Self {
        Self { input, output, kernel, stride: 1, padding: Padding::same(kernel / 2) }
    }

    /// Sets the stride.
    pub const fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the padding.
    pub const fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Conv2d<B> {
        let fan_in = self.input * self.kernel * self.kernel;
        let shape = [self.output, self.kernel, self.kernel, self.input];
        Conv2d {
            weight: WeightParam::uniform(shape, fan_in, WeightRole::Conv2d, device),
            bias: Some(param::uniform(self.output, fan_in, device)),
            low_rank: Vec::new(),
            options: Conv2dOptions { stride: self.stride, padding: self.padding },
        }
    }
}

impl<B: DiffusionBackend> Conv2d<B> {
    /// Applies the layer.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`
    /// - output: `[batch, out_height, out_width, out]`
    pub fn forward(&self, input: impl Into<ConvInput<B>>) -> Tensor<B, 4> {
        self.forward_with(input, Epilogue::new())
    }

    /// Applies the layer, then the epilogue; its bias is the layer's.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`
    /// - output: `[batch, out_height, out_width, out]`
    pub fn forward_with(
        &self,
        input: impl Into<ConvInput<B>>,
        epilogue: Epilogue<B, 4>,
    ) -> Tensor<B, 4> {
        let input = input.into();
        let weight = self.weight.get();
        let bias = self.bias.as_ref().map(Param::val);
        if self.low_rank.is_empty() {
            return ops::conv2d(input, &weight, self.options, epilogue.bias(bias));
        }
        let product = ops::conv2d(input.clone(), &weight, self.options, Epilogue::new().bias(bias));
        let product = self
            .low_rank
            .iter()
            .fold(product, |product, branch| branch.add(input.clone(), self.options, product));
        ops::epilogue(product, epilogue.bias(None))
    }
}
