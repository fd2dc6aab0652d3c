//! Vectors of parameters: biases and the affines of norms.

use burn::{
    module::{Param, ParamId},
    tensor::{DType, Distribution, Shape, Tensor, backend::Backend},
};

/// `[size]`, drawn from `U(-1/√fan_in, 1/√fan_in)` at its first use.
pub(crate) fn uniform<B: Backend>(
    size: usize,
    fan_in: usize,
    device: &B::Device,
) -> Param<Tensor<B, 1>> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    lazy(size, device, move |device| {
        Tensor::random([size], Distribution::Uniform(-bound, bound), (device, DType::F32))
    })
}

/// `[size]`, all of one value.
pub(crate) fn constant<B: Backend>(
    size: usize,
    value: f32,
    device: &B::Device,
) -> Param<Tensor<B, 1>> {
    lazy(size, device, move |device| Tensor::full([size], value, (device, DType::F32)))
}

fn lazy<B: Backend>(
    size: usize,
    device: &B::Device,
    init: impl Fn(&B::Device) -> Tensor<B, 1> + Send + Sync + 'static,
) -> Param<Tensor<B, 1>> {
    let init = move |device: &B::Device, require_grad| init(device).set_require_grad(require_grad);
    Param::uninitialized(ParamId::new(), init, device.clone(), true, Shape::new([size]))
}
