//! The ResNet block that U-Net and autoencoder share.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Activation, Channels, ConvInput, DiffusionBackend, Epilogue, Modulation};

use crate::{Conv2d, Conv2dConfig, GroupNorm, GroupNormConfig, Linear, LinearConfig};

/// How the time embedding enters a [`ResnetBlock2D`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeScaleShift {
    /// Added to the output of the first convolution.
    #[default]
    Default,
    /// As scale and shift of the second norm.
    ScaleShift,
}

/// Configuration of [`ResnetBlock2D`] (diffusers' `models/resnet.py`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResnetBlock2DConfig {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Width of the time embedding; `None` without one.
    pub time_embedding: Option<usize>,
    /// Groups of the norms.
    pub groups: usize,
    /// Added to the variance of the norms.
    pub eps: f64,
    /// Activation after the norms.
    pub activation: Activation,
    /// How the time embedding enters.
    pub time_scale_shift: TimeScaleShift,
    /// Divides the sum of input and branch. Default: 1.
    pub output_scale_factor: f64,
}

/// Norm, activation, convolution, twice; plus the input.
#[derive(Module, Debug)]
pub struct ResnetBlock2D<B: Backend> {
    norm1: GroupNorm<B>,
    conv1: Conv2d<B>,
    time_emb_proj: Option<Linear<B>>,
    norm2: GroupNorm<B>,
    conv2: Conv2d<B>,
    conv_shortcut: Option<Conv2d<B>>,
    activation: Activation,
    time_scale_shift: TimeScaleShift,
    output_scale_factor: f64,
}

impl ResnetBlock2DConfig {
    /// A block with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> ResnetBlock2D<B> {
        let norm = |channels| {
            GroupNormConfig { groups: self.groups, channels, eps: self.eps }.init(device)
        };
        let projected = match self.time_scale_shift {
            TimeScaleShift::Default => self.output,
            TimeScaleShift::ScaleShift => 2 * self.output,
        };
        ResnetBlock2D {
            norm1: norm(self.input),
            conv1: Conv2dConfig::new(self.input, self.output, 3).init(device),
            time_emb_proj: self
                .time_embedding
                .map(|width| LinearConfig::new(width, projected).init(device)),
            norm2: norm(self.output),
            conv2: Conv2dConfig::new(self.output, self.output, 3).init(device),
            conv_shortcut: (self.input != self.output)
                .then(|| Conv2dConfig::new(self.input, self.output, 1).init(device)),
            activation: self.activation,
            time_scale_shift: self.time_scale_shift,
            output_scale_factor: self.output_scale_factor,
        }
    }
}

impl<B: DiffusionBackend> ResnetBlock2D<B> {
    /// Applies the block.
    ///
    /// `time` is the time embedding *after* its activation: diffusers activates it in every block, a model does it once.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`, possibly a pair
    /// - time: `[batch, time_embedding]`
    /// - output: `[batch, height, width, out]`
    pub fn forward(
        &self,
        input: impl Into<ConvInput<B>>,
        time: Option<&Tensor<B, 2>>,
    ) -> Tensor<B, 4> {
        let input = input.into();
        let projected = match (&self.time_emb_proj, time) {
            (Some(projection), Some(time)) => Some(projection.forward(time.clone())),
            _ => None,
        };
        let (added, modulation) = match self.time_scale_shift {
            TimeScaleShift::Default => (projected.map(Channels::from), None),
            TimeScaleShift::ScaleShift => (None, projected.map(halves)),
        };

        let hidden = self.norm1.forward_with(input.clone(), None, Some(self.activation));
        let hidden = self.conv1.forward_with(hidden, Epilogue::new().channel_add(added));
        let hidden = self.norm2.forward_with(hidden, modulation, Some(self.activation));
        let shortcut = match &self.conv_shortcut {
            Some(shortcut) => shortcut.forward(input),
            None => input.first,
        };
        let epilogue =
            Epilogue::new().residual(Some(shortcut)).output_scale(1.0 / self.output_scale_factor);
        self.conv2.forward_with(hidden, epilogue)
    }
}

/// Scale in the first half of the columns, shift in the second.
fn halves<B: Backend>(projection: Tensor<B, 2>) -> Modulation<B> {
    let half = projection.dims()[1] / 2;
    Modulation {
        scale: Channels { projection: projection.clone(), offset: 0 },
        shift: Channels { projection, offset: half },
    }
}
