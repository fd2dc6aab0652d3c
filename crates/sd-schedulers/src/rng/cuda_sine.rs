//! `__sinf` and `__cosf` of NVIDIA's chips: one multiplication and the instruction `MUFU.SIN` or `MUFU.COS`.
//!
//! The instruction interpolates in a table by a quadratic, as Oberman and Siu describe it ("A high-performance area-efficient
//! multifunction interpolator", 2005), but for the numbers. Those below were inferred from what `torch.randn` drew on an
//! H200 (`scripts/golden/noise_cuda_sine.py`): the coefficients are the only ones that explain some 9000 numbers, and then
//! all 2 * 10^7 numbers of the recorded draws came out the same to the bit. The machine code around the instruction is the same
//! from Turing to Hopper; whether other chips hold the same table was not measured.

/// Bits of a quarter turn.
const QUARTER: u32 = 23;
/// Bits of a quarter turn within a part of the table.
const PART: u32 = 17;
/// Bits behind the binary point of the sum.
const POINT: u32 = 37;
/// Of the quotient of a turn, `FMUL.RZ` by the f32 next to 1 / (2 pi).
const TURNS: f32 = 0.159_154_94;

/// Value, slope and curvature at the start of each 64th of a quarter turn, in 2^-25, 2^-20 and 2^-22 for the whole part.
#[rustfmt::skip]
const TABLE: [[i64; 3]; 64] = [
    [0, 25737, -14],
    [823463, 25730, -48],
    [1646436, 25706, -76],
    [2468414, 25668, -110],
    [3288906, 25613, -137],
    [4107418, 25544, -171],
    [4923453, 25459, -201],
    [5736526, 25358, -229],
    [6546141, 25243, -262],
    [7351816, 25112, -292],
    [8153060, 24966, -322],
    [8949394, 24805, -352],
    [9740335, 24629, -381],
    [10525413, 24438, -410],
    [11304145, 24233, -441],
    [12076070, 24013, -470],
    [12840725, 23778, -497],
    [13597643, 23529, -525],
    [14346367, 23266, -553],
    [15086452, 22989, -581],
    [15817450, 22698, -608],
    [16538916, 22394, -637],
    [17250422, 22076, -664],
    [17951542, 21744, -688],
    [18641840, 21400, -715],
    [19320916, 21042, -738],
    [19988350, 20672, -763],
    [20643746, 20290, -790],
    [21286703, 19895, -812],
    [21916841, 19489, -839],
    [22533776, 19070, -859],
    [23137138, 18640, -881],
    [23726565, 18199, -904],
    [24301698, 17747, -926],
    [24862194, 17284, -946],
    [25407711, 16811, -967],
    [25937924, 16328, -988],
    [26452518, 15834, -1004],
    [26951170, 15332, -1025],
    [27433593, 14820, -1043],
    [27899488, 14299, -1059],
    [28348583, 13769, -1074],
    [28780594, 13232, -1093],
    [29195273, 12686, -1107],
    [29592364, 12133, -1123],
    [29971632, 11572, -1136],
    [30332846, 11004, -1148],
    [30675788, 10430, -1162],
    [31000253, 9849, -1172],
    [31306042, 9263, -1185],
    [31592974, 8671, -1196],
    [31860879, 8073, -1203],
    [32109590, 7471, -1213],
    [32338961, 6864, -1220],
    [32548845, 6254, -1230],
    [32739132, 5639, -1236],
    [32909694, 5021, -1242],
    [33060432, 4400, -1247],
    [33191257, 3776, -1250],
    [33302087, 3151, -1258],
    [33392857, 2523, -1260],
    [33463517, 1893, -1260],
    [33514014, 1263, -1263],
    [33544326, 632, -1265],
];

/// The sine of a positive angle, moved on by some quarters of a turn: 1 for the cosine.
pub(crate) fn sine(angle: f32, quarters: u32) -> f32 {
    // Only the bits of a turn down to 2^-25 count; the cast rounds towards zero.
    let turn = (times_rounded_down(angle, TURNS) * (1 << (QUARTER + 2)) as f32) as u32;
    let quarter = (turn >> QUARTER).wrapping_add(quarters);
    let within = (1 << QUARTER) - 1;
    // On the way back the bits are turned over.
    let place = if quarter.is_multiple_of(2) { turn & within } else { !turn & within };
    let magnitude = interpolated(place);
    if quarter & 2 == 0 { magnitude } else { -magnitude }
}

/// The sine of `place` of a quarter turn's 2^23.
fn interpolated(place: u32) -> f32 {
    let [value, slope, curvature] = TABLE[(place >> PART) as usize];
    let x = place & ((1 << PART) - 1);
    let sum = (value << (POINT - 25)) + slope * i64::from(x) + curvature * i64::from(square(x));
    // Truncated to the 24 bits of f32.
    let extra = 40u32.saturating_sub(sum.leading_zeros());
    ((sum >> extra) << extra) as f32 / (1u64 << POINT) as f32
}

/// The square of 17 bits in 2^-15 of the whole, as a squarer gives it that leaves out all products of two bits below.
fn square(x: u32) -> u32 {
    let x = x >> 2;
    let (mut sum, mut bits) = (0, x);
    while bits != 0 {
        let bit = bits.trailing_zeros();
        bits &= bits - 1;
        // With each higher bit once, for twice the product, and with itself.
        let lowest = (bit + 1).max(14u32.saturating_sub(bit));
        sum += (x >> lowest << lowest) << (bit + 1);
        sum += if bit >= 8 { 1 << (2 * bit) } else { 0 };
    }
    sum >> 15
}

/// The product rounded towards zero.
fn times_rounded_down(a: f32, b: f32) -> f32 {
    // Exact in f64.
    let product = f64::from(a) * f64::from(b);
    let rounded = product as f32;
    if f64::from(rounded) > product { f32::from_bits(rounded.to_bits() - 1) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exact_functions() {
        for step in 0..200_000u32 {
            let angle = step as f32 * (std::f32::consts::TAU / 200_000.0);
            let (sin, cos) = libm::sincos(f64::from(angle));
            assert!((f64::from(sine(angle, 0)) - sin).abs() < 1e-6, "{angle}");
            assert!((f64::from(sine(angle, 1)) - cos).abs() < 1e-6, "{angle}");
        }
    }

    #[test]
    fn the_square_loses_little() {
        for x in (0..1u32 << PART).step_by(7) {
            let exact = f64::from(x) * f64::from(x) / f64::from(1u32 << 19);
            let lost = exact - f64::from(square(x));
            assert!((0.0..8.0).contains(&lost), "{x}: {lost}");
        }
    }
}
