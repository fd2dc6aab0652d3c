//! The linear layer.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
};
use sd_kernels::{DiffusionBackend, Epilogue, WeightRole, ops};

use crate::{LowRankLinear, WeightParam, param};

/// Configuration of [`Linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearConfig {
    /// Width of the input.
    pub input: usize,
    /// Width of the output.
    pub output: usize,
    /// Whether a bias is added. Default: yes.
    pub bias: bool,
}

/// `y = x · weightᵀ + bias`, plus the low-rank branches that adapters attached.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`.
    pub weight: WeightParam<B, 2>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// Additions to the weight, empty unless an adapter is attached.
    pub low_rank: Vec<LowRankLinear<B>>,
}

impl LinearConfig {
    /// A layer with a bias.
    pub const fn new(input: usize, output: usize) -> Self {
        Self { input, output, bias: true }
    }

    /// The same without a bias.
    pub const fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// A layer with weights that are drawn at their first use.
    pub fn init<B: DiffusionBackend>(&self, device: &B::Device) -> Linear<B> {
        let shape = [self.output, self.input];
        Linear {
            weight: WeightParam::uniform(shape, self.input, WeightRole::Linear, device),
            bias: self.bias.then(|| param::uniform(self.output, self.input, device)),
            low_rank: Vec::new(),
        }
    }
}

impl<B: DiffusionBackend> Linear<B> {
    /// Applies the layer.
    ///
    /// # Shapes
    /// - input: `[batch, .., in]`
    /// - output: `[batch, .., out]`
    pub fn forward<const D: usize>(&self, input: Tensor<B, D>) -> Tensor<B, D> {
        self.forward_with(input, Epilogue::new())
    }

    /// Applies the layer, then the epilogue; its bias is the layer's.
    ///
    /// # Shapes
    /// - input: `[batch, .., in]`
    /// - output: `[batch, .., out]`, or half of `out` with a gated pair
    pub fn forward_with<const D: usize>(
        &self,
        input: Tensor<B, D>,
        epilogue: Epilogue<B, D>,
    ) -> Tensor<B, D> {
        let weight = self.weight.get();
        let bias = self.bias.as_ref().map(Param::val);
        if self.low_rank.is_empty() {
            return ops::linear(input, &weight, epilogue.bias(bias));
        }
        let product = ops::linear(input.clone(), &weight, Epilogue::new().bias(bias));
        let product = self
            .low_rank
            .iter()
            .fold(product, |product, branch| branch.add(input.clone(), product));
        ops::epilogue(product, epilogue.bias(None))
    }
}
