//! Elementary functions without branches and calls, which the compiler vectorises for the CPU they run on.

use core::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::Activation;

/// `eˣ` to within 2 units in the last place; 0 below -87.3, and the largest power of two times what is left above 88.
///
/// Cody-Waite reduction and the polynomial of Cephes' `expf`, without branches and library calls, so that loops over it
/// become SIMD on any target.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    // ln 2 in two parts, of which the first has few bits, so that its multiples are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2²³ rounds to an integer.
    const ROUND: f32 = 12_582_912.0;

    let clamped = x.clamp(-87.336_54, 88.376_26);
    let rounded = clamped * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    // The integer stands in the last bits of the sum: moved to the exponent it is the power of two.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    // A score of minus infinity is a masked one and weighs nothing.
    if x < -87.336_54 { 0.0 } else { y * power }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, to within 4 units in the last place: the rational function of Eigen's `erf`.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const ABOVE: [f32; 6] = [
        2.123_732_2e-6,
        2.861_979_6e-4,
        3.658_048_3e-3,
        5.243_302e-2,
        1.874_160_8e-1,
        FRAC_2_SQRT_PI,
    ];
    const BELOW: [f32; 6] =
        [3.891_857_3e-5, 1.143_296e-3, 1.475_208_8e-2, 1.129_456_8e-1, 4.994_258e-1, 1.0];
    // Beyond, it is 1 in f32.
    let x = x.clamp(-3.925_724_8, 3.925_724_8);
    let square = x * x;
    let polynomial =
        |terms: [f32; 6]| terms.into_iter().skip(1).fold(terms[0], |sum, term| sum * square + term);
    (x * polynomial(ABOVE) / polynomial(BELOW)).clamp(-1.0, 1.0)
}

/// The hyperbolic tangent, to within 4 units in the last place: the rational function of Eigen's `tanh`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619e-4,
        4.893_524_6e-3,
    ];
    const BELOW: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let above = ABOVE.into_iter().skip(1).fold(ABOVE[0], |sum, term| sum * square + term);
    let below = BELOW.into_iter().skip(1).fold(BELOW[0], |sum, term| sum * square + term);
    x * above / below
}

/// Applies an activation to a row.
#[inline(always)]
pub(crate) fn activate(values: &mut [f32], activation: Option<Activation>) {
    let Some(activation) = activation else { return };
    // One loop each, so that each is compiled for its function.
    match activation {
        Activation::Silu => each(values, |x| x * sigmoid(x)),
        Activation::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))),
        Activation::GeluTanh => {
            each(values, |x| 0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x))));
        }
        Activation::QuickGelu => each(values, |x| x * sigmoid(1.702 * x)),
        Activation::Relu => each(values, |x| x.max(0.0)),
        Activation::Tanh => each(values, tanh),
    }
}

#[inline(always)]
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate() {
        for step in -8_700..8_800 {
            let x = step as f32 / 100.0 + 0.001_3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): relative error {error:e}");
        }
    }

    #[test]
    fn exp_has_the_right_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert!(exp(1e30) > 1e38 && exp(1e30).is_finite());
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([sigmoid(0.0), sigmoid(200.0)], [0.5, 1.0]);
        assert!(sigmoid(-200.0) < 1e-37);
    }

    #[test]
    fn erf_and_tanh_are_accurate() {
        for step in -100_000..100_000 {
            let x = step as f32 / 10_000.0 + 0.000_03;
            let expected = [libm::erf(f64::from(x)), f64::from(x).tanh()];
            for (found, expected) in [erf(x), tanh(x)].into_iter().zip(expected) {
                let error = (f64::from(found) - expected).abs() / expected.abs();
                assert!(error < 4.0 * f64::from(f32::EPSILON), "at {x}: relative error {error:e}");
            }
        }
        assert_eq!([erf(0.0), erf(40.0), erf(f32::NEG_INFINITY)], [0.0, 1.0, -1.0]);
        assert_eq!([tanh(0.0), tanh(40.0), tanh(f32::NEG_INFINITY)], [0.0, tanh(8.0), -tanh(8.0)]);
        assert!(erf(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
    }
}
