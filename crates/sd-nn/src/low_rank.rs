//! Low-rank additions to a layer's weight.

use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{Conv2dOptions, ConvInput, DiffusionBackend, Epilogue, WeightRole, ops};

use crate::WeightParam;

/// `scale · up · down`, added to a linear weight (LoRA, <https://arxiv.org/abs/2106.09685>).
///
/// A layer carries any number of them, each under the name of its adapter, so adapters are stacked, scaled, detached and
/// trained without touching the model.
#[derive(Module, Debug)]
pub struct LowRankLinear<B: Backend> {
    /// `[rank, in]`.
    pub down: WeightParam<B, 2>,
    /// `[out, rank]`.
    pub up: WeightParam<B, 2>,
    /// The adapter it belongs to.
    pub adapter: String,
    /// The user's scale times `alpha / rank`.
    pub scale: f64,
}

impl<B: DiffusionBackend> LowRankLinear<B> {
    /// A branch of the given matrices, `down: [rank, in]` and `up: [out, rank]`.
    pub fn new(
        adapter: impl Into<String>,
        down: Tensor<B, 2>,
        up: Tensor<B, 2>,
        scale: f64,
    ) -> Self {
        let weight = |tensor| {
            WeightParam::from_param(burn::module::Param::from_tensor(tensor), WeightRole::Linear)
        };
        Self { down: weight(down), up: weight(up), adapter: adapter.into(), scale }
    }

    /// `product + scale · up(down(input))`.
    ///
    /// # Shapes
    /// - input: `[batch, .., in]`
    /// - product, output: `[batch, .., out]`
    pub fn add<const D: usize>(&self, input: Tensor<B, D>, product: Tensor<B, D>) -> Tensor<B, D> {
        let low = ops::linear(input, &self.down.get(), Epilogue::new());
        let epilogue = Epilogue::new().scale(self.scale).residual(Some(product));
        ops::linear(low, &self.up.get(), epilogue)
    }
}

/// The same for a convolution: `down` has the convolution's kernel, `up` is 1×1.
#[derive(Module, Debug)]
pub struct LowRankConv2d<B: Backend> {
    /// `[rank, kernel_h, kernel_w, in]`.
    pub down: WeightParam<B, 4>,
    /// `[out, 1, 1, rank]`.
    pub up: WeightParam<B, 4>,
    /// The adapter it belongs to.
    pub adapter: String,
    /// The user's scale times `alpha / rank`.
    pub scale: f64,
}

impl<B: DiffusionBackend> LowRankConv2d<B> {
    /// A branch of the given kernels, `down: [rank, kernel_h, kernel_w, in]` and `up: [out, 1, 1, rank]`.
    pub fn new(
        adapter: impl Into<String>,
        down: Tensor<B, 4>,
        up: Tensor<B, 4>,
        scale: f64,
    ) -> Self {
        let weight = |tensor| {
            WeightParam::from_param(burn::module::Param::from_tensor(tensor), WeightRole::Conv2d)
        };
        Self { down: weight(down), up: weight(up), adapter: adapter.into(), scale }
    }

    /// `product + scale · up(down(input))`.
    ///
    /// # Shapes
    /// - input: `[batch, height, width, in]`
    /// - product, output: `[batch, out_height, out_width, out]`
    pub fn add(
        &self,
        input: ConvInput<B>,
        options: Conv2dOptions,
        product: Tensor<B, 4>,
    ) -> Tensor<B, 4> {
        let low = ops::conv2d(input, &self.down.get(), options, Epilogue::new());
        let epilogue = Epilogue::new().scale(self.scale).residual(Some(product));
        ops::conv2d(low, &self.up.get(), Conv2dOptions::default(), epilogue)
    }
}
