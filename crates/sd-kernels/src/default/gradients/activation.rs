//! The derivatives of the activations.

use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::tensor::{Tensor, backend::Backend};

use super::super::{activate, activation::sigmoid, widen};
use crate::{Activation, Gate};

/// See [`DiffusionBackend::activation_backward`](crate::DiffusionBackend::activation_backward).
pub fn activation_backward<B: Backend>(
    input: Tensor<B, 3>,
    activation: Option<Activation>,
    gate: Gate,
    gradient: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let dtype = input.dtype();
    let (input, gradient) = (widen(input), widen(gradient));
    let gradient = match (gate, activation) {
        (Gate::None, None) => gradient,
        (Gate::None, Some(kind)) => gradient * derivative(input, kind),
        (Gate::Pair, activation) => pair(input, activation, gradient),
    };
    gradient.cast(dtype)
}

/// Of `value · activation(gate)`.
fn pair<B: Backend>(
    input: Tensor<B, 3>,
    activation: Option<Activation>,
    gradient: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let half = input.dims()[2] / 2;
    let (value, gate) = (input.clone().narrow(2, 0, half), input.narrow(2, half, half));
    let of_value = gradient.clone()
        * activation.map_or_else(|| gate.clone(), |kind| activate(gate.clone(), kind));
    let of_gate = match activation {
        Some(kind) => gradient * value * derivative(gate, kind),
        None => gradient * value,
    };
    Tensor::cat(vec![of_value, of_gate], 2)
}

fn derivative<B: Backend, const D: usize>(x: Tensor<B, D>, kind: Activation) -> Tensor<B, D> {
    match kind {
        Activation::Silu => swish_derivative(x, 1.0),
        Activation::QuickGelu => swish_derivative(x, 1.702),
        Activation::Gelu => {
            let density = (x.clone() * x.clone() * -0.5).exp();
            let cdf = ((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
            cdf + x * density * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * 0.5)
        }
        Activation::GeluTanh => {
            const ROOT: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            const CUBIC: f64 = 0.044_715;
            let square = x.clone() * x.clone();
            let tanh = (x.clone() * (square.clone() * CUBIC + 1.0) * ROOT).tanh();
            let slope = (square * (3.0 * CUBIC) + 1.0) * ROOT;
            let falling = tanh.clone() * tanh.clone() * -1.0 + 1.0;
            (tanh + 1.0 + x * falling * slope) * 0.5
        }
        Activation::Relu => {
            let below = x.clone().lower_equal_elem(0.0);
            x.ones_like().mask_fill(below, 0.0)
        }
        Activation::Tanh => {
            let tanh = x.tanh();
            tanh.clone() * tanh * -1.0 + 1.0
        }
    }
}

/// Of `x · σ(factor · x)`.
fn swish_derivative<B: Backend, const D: usize>(x: Tensor<B, D>, factor: f64) -> Tensor<B, D> {
    let gate = sigmoid(x.clone() * factor);
    let rest = gate.clone() * -1.0 + 1.0;
    gate * (x * rest * factor + 1.0)
}
