//! Activations and their derivatives, in f32.
//!
//! No vector is negated: CubeCL 0.10 writes that as CUDA that does not compile.

use cubecl::prelude::*;

use crate::Activation;

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;
const QUICK: f32 = 1.702;

#[cube]
fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    one / (one + (x * Vector::<f32, N>::new(-1.0f32)).exp())
}

/// Drivers may compute tanh through exp, which overflows.
#[cube]
fn tanh<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let least = Vector::<f32, N>::new(-15.0f32);
    min(max(x, least), Vector::<f32, N>::new(15.0f32)).tanh()
}

/// The normal distribution's Φ.
#[cube]
fn normal_cdf<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    let scaled = x * Vector::<f32, N>::new(core::f32::consts::FRAC_1_SQRT_2);
    (one + scaled.erf()) * Vector::<f32, N>::new(0.5f32)
}

/// `tanh` of the approximation of GELU.
#[cube]
fn gelu_tanh<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let cubic = x * x * x * Vector::<f32, N>::new(CUBIC);
    tanh::<N>((x + cubic) * Vector::<f32, N>::new(SQRT_2_OVER_PI))
}

/// Applies an activation, if there is one.
#[cube]
pub(super) fn activate<N: Size>(
    x: Vector<f32, N>,
    #[comptime] kind: Option<Activation>,
) -> Vector<f32, N> {
    match comptime!(kind) {
        None => x,
        Some(Activation::Silu) => x * sigmoid::<N>(x),
        Some(Activation::Gelu) => x * normal_cdf::<N>(x),
        Some(Activation::GeluTanh) => {
            let one = Vector::<f32, N>::new(1.0f32);
            x * Vector::<f32, N>::new(0.5f32) * (one + gelu_tanh::<N>(x))
        }
        Some(Activation::QuickGelu) => x * sigmoid::<N>(x * Vector::<f32, N>::new(QUICK)),
        Some(Activation::Relu) => max(x, Vector::<f32, N>::new(0.0f32)),
        Some(Activation::Tanh) => tanh::<N>(x),
    }
}

/// The derivative of an activation; 1 where there is none.
#[cube]
pub(super) fn derivative<N: Size>(
    x: Vector<f32, N>,
    #[comptime] kind: Option<Activation>,
) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    let half = Vector::<f32, N>::new(0.5f32);
    match comptime!(kind) {
        None => one,
        Some(Activation::Silu) => {
            let gate = sigmoid::<N>(x);
            gate * (one + x * (one - gate))
        }
        Some(Activation::Gelu) => {
            // 1 / √2π.
            let peak = Vector::<f32, N>::new(0.398_942_3f32);
            normal_cdf::<N>(x) + x * peak * (x * x * Vector::<f32, N>::new(-0.5f32)).exp()
        }
        Some(Activation::GeluTanh) => {
            let tanh = gelu_tanh::<N>(x);
            let slope = one + x * x * Vector::<f32, N>::new(comptime!(3.0f32 * CUBIC));
            let slope = slope * Vector::<f32, N>::new(SQRT_2_OVER_PI);
            half * (one + tanh) + half * x * (one - tanh * tanh) * slope
        }
        Some(Activation::QuickGelu) => {
            let factor = Vector::<f32, N>::new(QUICK);
            let gate = sigmoid::<N>(x * factor);
            gate * (one + factor * x * (one - gate))
        }
        Some(Activation::Relu) => {
            let zero = Vector::<f32, N>::new(0.0f32);
            select_many(x.greater_than(zero), one, zero)
        }
        Some(Activation::Tanh) => {
            let tanh = tanh::<N>(x);
            one - tanh * tanh
        }
    }
}
