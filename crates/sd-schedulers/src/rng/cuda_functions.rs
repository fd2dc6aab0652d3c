//! Box and Muller's transformation as cuRAND's device code computes it (`_curand_box_muller` of `curand_normal.h`).

use std::f32::consts::TAU;

/// 2^-32.
const STEP: f32 = 1.0 / (1u64 << 32) as f32;

/// Two normal numbers of two words.
pub(crate) fn box_muller(x: u32, y: u32) -> [f32; 2] {
    // Both in the middle of their step, so that the first is never 0; the compiler fuses each product with its sum.
    let uniform = (x as f32).mul_add(STEP, STEP / 2.0);
    let angle = (y as f32).mul_add(STEP * TAU, STEP * TAU / 2.0);
    let radius = (-2.0 * ln(uniform)).sqrt();
    let (sin, cos) = sin_cos(angle);
    // "+ mean", which turns -0 into 0
    [radius * sin + 0.0, radius * cos + 0.0]
}

fn ln(x: f32) -> f32 {
    libm::log(f64::from(x)) as f32
}

fn sin_cos(x: f32) -> (f32, f32) {
    let (sin, cos) = libm::sincos(f64::from(x));
    (sin as f32, cos as f32)
}
