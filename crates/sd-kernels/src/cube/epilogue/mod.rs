//! What follows a product, and the gradient of its activation.

mod backward;
mod forward;

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use crate::{Activation, Gate};

pub(crate) use backward::activation_backward;
pub(crate) use forward::forward;

/// A vector of channels for each sample: those from `offset` on of a projection's row, as in [`Channels`](crate::Channels).
pub(crate) struct View<R: CubeRuntime> {
    /// `[batch, width]`.
    pub(crate) projection: CubeTensor<R>,
    /// Column of the first channel.
    pub(crate) offset: usize,
}

/// [`Epilogue`](crate::Epilogue) on the tensors of a runtime. Those of it are of one dtype, which need not be that of the product.
pub(crate) struct Tail<R: CubeRuntime> {
    /// `[channels]`.
    pub(crate) bias: Option<CubeTensor<R>>,
    pub(crate) channel_add: Option<View<R>>,
    pub(crate) activation: Option<Activation>,
    pub(crate) gate: Gate,
    pub(crate) channel_mul: Option<View<R>>,
    pub(crate) scale: f64,
    /// `[batch, positions, out]`.
    pub(crate) residual: Option<CubeTensor<R>>,
    pub(crate) output_scale: f64,
}
