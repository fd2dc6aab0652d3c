//! Logarithm, sine and cosine in f32 by the polynomials of Cephes (<https://www.netlib.org/cephes/>, `logf.c`, `sinf.c`),
//! with the fused multiply-adds of PyTorch's AVX2 code (`avx_mathfun.h` as its compiler contracts it).
//!
//! The last bit of every result depends on which products are fused; the order below was found by comparing 10^8 numbers
//! with PyTorch 2.15 and holds on every processor, since `f32::mul_add` is exact everywhere.

use std::f32::consts::FRAC_1_SQRT_2;

/// The constants of Cephes, with their own digits.
#[allow(clippy::excessive_precision, clippy::approx_constant)]
mod constants {
    pub(super) const LOG: [f32; 9] = [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ];
    /// ln 2 in two parts, the greater first.
    pub(super) const LN_2: [f32; 2] = [0.693359375, -2.12194440e-4];
    pub(super) const SIN: [f32; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
    pub(super) const COS: [f32; 3] =
        [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
    /// -pi/4 in three parts.
    pub(super) const MINUS_QUARTER_PI: [f32; 3] =
        [-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8];
    pub(super) const FOUR_OVER_PI: f32 = 1.27323954473516;
}
use constants::{COS, FOUR_OVER_PI, LN_2, LOG, MINUS_QUARTER_PI, SIN};

fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    coefficients
        .iter()
        .copied()
        .reduce(|sum, coefficient| sum.mul_add(x, coefficient))
        .unwrap_or(0.0)
}

/// Natural logarithm of a positive normal number.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // x = mantissa * 2^exponent with the mantissa within [1/2, 1), then within [sqrt(1/2), sqrt(2))
    let mut exponent = (bits >> 23) as f32 - 126.0;
    let mut mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    if mantissa < FRAC_1_SQRT_2 {
        exponent -= 1.0;
        mantissa = (mantissa - 1.0) + mantissa;
    } else {
        mantissa -= 1.0;
    }
    let square = mantissa * mantissa;
    let series = polynomial(&LOG, mantissa) * mantissa;
    let series = series.mul_add(square, exponent * LN_2[1]);
    let series = (-square).mul_add(0.5, series);
    exponent.mul_add(LN_2[0], mantissa + series)
}

/// Sine and cosine of a number from 0 to 8192.
pub(crate) fn sin_cos(x: f32) -> (f32, f32) {
    let octant = ((x * FOUR_OVER_PI) as i32 + 1) & !1;
    let remainder = MINUS_QUARTER_PI.iter().fold(x, |x, part| (octant as f32).mul_add(*part, x));
    let square = remainder * remainder;
    let cos = polynomial(&COS, square) * square;
    let cos = cos.mul_add(square, -(square * 0.5)) + 1.0;
    let sin = (polynomial(&SIN, square) * square).mul_add(remainder, remainder);
    let (sin, cos) = if octant & 2 == 0 { (sin, cos) } else { (cos, sin) };
    let sin = if octant & 4 == 0 { sin } else { -sin };
    let cos = if (octant - 2) & 4 == 0 { -cos } else { cos };
    (sin, cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exact_functions() {
        for index in 1..=10_000 {
            let x = index as f32 / 10_000.0;
            assert!(
                (f64::from(ln(x)) - f64::from(x).ln()).abs()
                    < 1e-6 * (1.0 + f64::from(x).ln().abs())
            );
            let angle = x * std::f32::consts::TAU;
            let (sin, cos) = sin_cos(angle);
            assert!((f64::from(sin) - f64::from(angle).sin()).abs() < 2e-7, "{angle}");
            assert!((f64::from(cos) - f64::from(angle).cos()).abs() < 2e-7, "{angle}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
    }
}
