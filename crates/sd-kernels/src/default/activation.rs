//! Activations in the dtype of their input.

use burn::tensor::{DType, Tensor, activation, backend::Backend};

use crate::Activation;

/// Applies an activation.
pub fn activate<B: Backend, const D: usize>(x: Tensor<B, D>, kind: Activation) -> Tensor<B, D> {
    match kind {
        Activation::Silu => x.clone() * sigmoid(x),
        // Written through erf: the gradient of Burn 0.21's own gelu is that of the tanh form.
        Activation::Gelu => {
            let cdf = (x.clone() * core::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
            x * cdf * 0.5
        }
        Activation::GeluTanh => {
            const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
            let cubic = x.clone() * x.clone() * x.clone() * 0.044_715;
            let inner = (x.clone() + cubic) * SQRT_2_OVER_PI;
            x * (inner.tanh() + 1.0) * 0.5
        }
        Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
        Activation::Relu => activation::relu(x),
        Activation::Tanh => x.tanh(),
    }
}

pub(super) fn sigmoid<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    match x.dtype() {
        // Burn 0.21 computes the sigmoid of f64 in f32.
        DType::F64 => ((x * 0.5).tanh() + 1.0) * 0.5,
        _ => activation::sigmoid(x),
    }
}
