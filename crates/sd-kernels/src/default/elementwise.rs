//! Epilogues and linear combinations.

use burn::tensor::{Tensor, backend::Backend};

use super::{activate, vectors::with_vector, widen};
use crate::{Epilogue, Gate};

/// See [`DiffusionBackend::fused_epilogue`](crate::DiffusionBackend::fused_epilogue).
pub fn epilogue<B: Backend>(input: Tensor<B, 3>, epilogue: Epilogue<B, 3>) -> Tensor<B, 3> {
    if epilogue.is_identity() {
        return input;
    }
    let dtype = input.dtype();
    let channels = input.dims()[2];
    let mut x = widen(input);
    if let Some(bias) = epilogue.bias {
        x = with_vector(x, widen(bias).unsqueeze(), |x, bias| x + bias);
    }
    if let Some(channel_add) = epilogue.channel_add {
        x = with_vector(x, widen(channel_add.to_tensor(channels)), |x, summand| x + summand);
    }
    let x = match (epilogue.gate, epilogue.activation) {
        (Gate::None, None) => x,
        (Gate::None, Some(activation)) => activate(x, activation),
        (Gate::Pair, activation) => {
            let half = x.dims()[2] / 2;
            let value = x.clone().narrow(2, 0, half);
            let gate = x.narrow(2, half, half);
            value * activation.map_or_else(|| gate.clone(), |kind| activate(gate.clone(), kind))
        }
    };
    let x = match epilogue.channel_mul {
        Some(factors) => {
            let channels = x.dims()[2];
            with_vector(x, widen(factors.to_tensor(channels)), |x, factor| x * factor)
        }
        None => x,
    };
    let x = scaled(x, epilogue.scale);
    let x = match epilogue.residual {
        Some(residual) => x + widen(residual),
        None => x,
    };
    scaled(x, epilogue.output_scale).cast(dtype)
}

/// See [`DiffusionBackend::linear_combination`](crate::DiffusionBackend::linear_combination).
pub fn linear_combination<B: Backend>(terms: Vec<(f64, Tensor<B, 4>)>) -> Tensor<B, 4> {
    let mut terms = terms.into_iter();
    let Some((coefficient, first)) = terms.next() else {
        panic!("a linear combination needs at least one term");
    };
    let dtype = first.dtype();
    let sum = terms.fold(scaled(widen(first), coefficient), |sum, (coefficient, tensor)| {
        sum + scaled(widen(tensor), coefficient)
    });
    sum.cast(dtype)
}

/// Times a factor, if it is one that changes anything.
pub(crate) fn scaled<B: Backend, const D: usize>(x: Tensor<B, D>, factor: f64) -> Tensor<B, D> {
    if factor == 1.0 { x } else { x * factor }
}
