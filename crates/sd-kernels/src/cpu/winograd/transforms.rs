//! The transforms of F(4×4, 3×3), a SIMD register of channels at a time.
//!
//! Loops go over indices: a closure that is not inlined would be compiled for the oldest of CPUs.
#![allow(clippy::needless_range_loop)]

use pulp::Simd;

/// Side of a tile of inputs.
pub(super) const SIDE: usize = 6;
/// Products of a tile.
pub(super) const POINTS: usize = SIDE * SIDE;

#[inline(always)]
fn load<S: Simd>(values: &[f32], first: usize) -> S::f32s {
    let values = &values[first..][..S::F32_LANES];
    // SAFETY: a register's worth of values, as was just checked; every bit pattern is a number.
    unsafe { values.as_ptr().cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
fn store<S: Simd>(values: &mut [f32], first: usize, register: S::f32s) {
    let values = &mut values[first..][..S::F32_LANES];
    // SAFETY: a register's worth of values, as was just checked.
    unsafe { values.as_mut_ptr().cast::<S::f32s>().write_unaligned(register) };
}

/// `Gᵀ` of a row of three weights.
#[inline(always)]
fn weights<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 6] {
    let times = |factor: f32, value| simd.mul_f32s(simd.splat_f32s(factor), value);
    let outer = simd.add_f32s(a, c);
    let wide = simd.add_f32s(times(1.0 / 24.0, a), times(1.0 / 6.0, c));
    let middle = times(1.0 / 12.0, b);
    [
        times(0.25, a),
        times(-1.0 / 6.0, simd.add_f32s(outer, b)),
        times(-1.0 / 6.0, simd.sub_f32s(outer, b)),
        simd.add_f32s(wide, middle),
        simd.sub_f32s(wide, middle),
        c,
    ]
}

/// `Bᵀ` of six inputs.
#[inline(always)]
fn inputs<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let plus = |factor: f32, value, sum| simd.mul_add_e_f32s(simd.splat_f32s(factor), value, sum);
    let even = plus(-4.0, d[2], d[4]);
    let odd = plus(-4.0, d[1], d[3]);
    let narrow = simd.sub_f32s(d[4], d[2]);
    let difference = simd.sub_f32s(d[3], d[1]);
    [
        plus(4.0, d[0], plus(-5.0, d[2], d[4])),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        plus(2.0, difference, narrow),
        plus(-2.0, difference, narrow),
        plus(4.0, d[1], plus(-5.0, d[3], d[5])),
    ]
}

/// `Aᵀ` of six products.
#[inline(always)]
fn outputs<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let plus = |factor: f32, value, sum| simd.mul_add_e_f32s(simd.splat_f32s(factor), value, sum);
    let (near, near_apart) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far, far_apart) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near, far)),
        plus(2.0, far_apart, near_apart),
        plus(4.0, far, near),
        simd.add_f32s(m[5], plus(8.0, far_apart, near_apart)),
    ]
}

/// The 36 rows of transformed weights of the rows of nine.
#[inline(always)]
pub(super) fn weight_rows<S: Simd>(simd: S, taps: [&[f32]; 9], width: usize, rows: &mut [f32]) {
    let zero = simd.splat_f32s(0.0);
    for first in (0..width).step_by(S::F32_LANES) {
        let mut columns = [[zero; 3]; SIDE];
        for x in 0..3 {
            let column = [0, 1, 2].map(|y| load::<S>(taps[3 * y + x], first));
            let column = weights(simd, column);
            for y in 0..SIDE {
                columns[y][x] = column[y];
            }
        }
        for (y, row) in columns.into_iter().enumerate() {
            for (x, value) in weights(simd, row).into_iter().enumerate() {
                store::<S>(rows, (y * SIDE + x) * width + first, value);
            }
        }
    }
}

/// The 36 transformed values of every channel of a tile, `stride` apart.
#[inline(always)]
pub(super) fn input_tile<S: Simd>(
    simd: S,
    pixels: [&[f32]; POINTS],
    target: &mut [f32],
    stride: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for first in (0..pixels[0].len()).step_by(S::F32_LANES) {
        let mut columns = [[zero; SIDE]; SIDE];
        for x in 0..SIDE {
            let mut column = [zero; SIDE];
            for y in 0..SIDE {
                column[y] = load::<S>(pixels[y * SIDE + x], first);
            }
            let column = inputs(simd, column);
            for y in 0..SIDE {
                columns[y][x] = column[y];
            }
        }
        for (y, row) in columns.into_iter().enumerate() {
            for (x, value) in inputs(simd, row).into_iter().enumerate() {
                store::<S>(target, (y * SIDE + x) * stride + first, value);
            }
        }
    }
}

/// The 4×4 outputs of a tile, rows of `width` columns, from its 36 rows of products, `stride` apart.
#[inline(always)]
pub(super) fn output_tile<S: Simd>(
    simd: S,
    products: &[f32],
    stride: usize,
    width: usize,
    target: &mut [f32],
) {
    let zero = simd.splat_f32s(0.0);
    for first in (0..width).step_by(S::F32_LANES) {
        let mut columns = [[zero; SIDE]; 4];
        for x in 0..SIDE {
            let mut column = [zero; SIDE];
            for y in 0..SIDE {
                column[y] = load::<S>(products, (y * SIDE + x) * stride + first);
            }
            let column = outputs(simd, column);
            for y in 0..4 {
                columns[y][x] = column[y];
            }
        }
        for (y, row) in columns.into_iter().enumerate() {
            for (x, value) in outputs(simd, row).into_iter().enumerate() {
                store::<S>(target, (y * 4 + x) * width + first, value);
            }
        }
    }
}
