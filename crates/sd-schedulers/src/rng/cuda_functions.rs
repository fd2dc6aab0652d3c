//! Box and Muller's transformation as cuRAND's device code computes it (`_curand_box_muller` of `curand_normal.h`).

use std::f32::consts::{LN_2, TAU};

use super::cuda_sine as sine;

/// 2^-32.
const STEP: f32 = 1.0 / (1u64 << 32) as f32;

/// One of the four normal numbers of four words: the sine or the cosine of the first two, then those of the others.
pub(crate) fn normal(words: [u32; 4], lane: usize) -> f32 {
    let [x, y] = if lane < 2 { [words[0], words[1]] } else { [words[2], words[3]] };
    // Both in the middle of their step, so that the first is never 0; the compiler fuses each product with its sum.
    let uniform = (x as f32).mul_add(STEP, STEP / 2.0);
    let angle = (y as f32).mul_add(STEP * TAU, STEP * TAU / 2.0);
    let radius = (-2.0 * ln(uniform)).sqrt();
    let quarters = if lane.is_multiple_of(2) { 0 } else { 1 };
    // "+ mean", which turns -0 into 0
    radius * sine::sine(angle, quarters) + 0.0
}

/// The device's `logf`, of a positive normal number.
fn ln(x: f32) -> f32 {
    /// Of ln(1 + m) / m from the highest power on, but for the leading 1.
    const SERIES: [f32; 9] = [
        -0.13018857,
        0.1408461,
        -0.12148628,
        0.1398061,
        -0.16684236,
        0.200123,
        -0.24999669,
        0.33333182,
        -0.5,
    ];
    // x = (1 + m) * 2^exponent with 1 + m within [2/3, 4/3)
    let bits = x.to_bits() as i32;
    let exponent = (bits - (2.0f32 / 3.0).to_bits() as i32) >> 23;
    let m = f32::from_bits((bits - (exponent << 23)) as u32) - 1.0;
    let mut series = 0.0f32;
    for coefficient in SERIES {
        series = series.mul_add(m, coefficient);
    }
    (exponent as f32).mul_add(LN_2, (series * m).mul_add(m, m))
}
