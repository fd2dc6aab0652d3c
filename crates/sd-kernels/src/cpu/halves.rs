//! Values of 16 bits, as f32 has them.

use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::dispatch;

/// Values of a task.
const CHUNK: usize = 1 << 16;
/// Values that are looked at at a time.
const BLOCK: usize = 1 << 11;

/// Values of 16 bits of one of the two kinds.
#[derive(Debug, Clone)]
pub(super) struct Halves {
    bits: Vec<u16>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `f16`, without infinities and NaN.
    Half,
    /// `bf16`.
    Brain,
}

impl Kind {
    /// Writes the bits of values, if this kind has all of them exactly.
    fn narrow(self, values: &[f32], bits: &mut [u16]) -> bool {
        match self {
            Self::Half => bits.reinterpret_cast_mut::<f16>().convert_from_f32_slice(values),
            Self::Brain => bits.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(values),
        }
        let finite = self == Self::Brain || bits.iter().all(|bits| bits & 0x7c00 != 0x7c00);
        let mut back = [0.0; BLOCK];
        let back = &mut back[..values.len()];
        dispatch(Widen { bits, target: back, kind: self });
        finite && back.iter().zip(values).all(|(back, value)| back.to_bits() == value.to_bits())
    }

    fn all(self, values: &[f32]) -> Option<Vec<u16>> {
        // Most weights that are not of 16 bits show it at once.
        let first = &values[..values.len().min(BLOCK)];
        if !self.narrow(first, &mut [0; BLOCK][..first.len()]) {
            return None;
        }
        let mut bits = vec![0; values.len()];
        let chunks = bits.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
        let exact = chunks.all(|(bits, values)| {
            let mut blocks = bits.chunks_mut(BLOCK).zip(values.chunks(BLOCK));
            blocks.all(|(bits, values)| self.narrow(values, bits))
        });
        exact.then_some(bits)
    }
}

impl Halves {
    /// The same values in 16 bits, if these have all of them exactly.
    pub(super) fn of(values: &[f32]) -> Option<Self> {
        let kinds = [Kind::Half, Kind::Brain].into_iter();
        kinds.filter_map(|kind| Some(Self { bits: kind.all(values)?, kind })).next()
    }

    /// Writes the values from `first` on.
    #[inline(always)]
    pub(super) fn widen(&self, first: usize, target: &mut [f32]) {
        let bits = &self.bits[first..][..target.len()];
        dispatch(Widen { bits, target, kind: self.kind });
    }
}

struct Widen<'a> {
    bits: &'a [u16],
    target: &'a mut [f32],
    kind: Kind,
}

impl WithSimd for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { bits, target, kind } = self;
        match kind {
            Kind::Half => {
                for (target, bits) in target.iter_mut().zip(bits) {
                    *target = wide_half(*bits);
                }
            }
            Kind::Brain => {
                for (target, bits) in target.iter_mut().zip(bits) {
                    *target = f32::from_bits(u32::from(*bits) << 16);
                }
            }
        }
    }
}

/// A finite `f16`, in steps that compilers make into vectors of them.
#[inline(always)]
fn wide_half(bits: u16) -> f32 {
    /// What is between the exponents' zeros.
    const REBIAS: u32 = (127 - 15) << 23;
    /// The smallest normal `f16`.
    const LEAST: u32 = (127 - 14) << 23;
    let bits = u32::from(bits);
    let (sign, rest) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    let normal = rest + REBIAS;
    // Behind a one that is taken away again.
    let subnormal = (f32::from_bits(rest + LEAST) - f32::from_bits(LEAST)).to_bits();
    f32::from_bits(sign | if rest < 0x0080_0000 { subnormal } else { normal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_comes_back() {
        let halves = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite());
        let values: Vec<f32> = halves.map(f32::from).collect();
        let brains = (0..=u16::MAX).map(|bits| f32::from_bits(u32::from(bits) << 16));
        let brains: Vec<f32> = brains.filter(|value| !value.is_nan()).collect();
        for (values, kind) in [(values, Kind::Half), (brains, Kind::Brain)] {
            let halves = Halves::of(&values).unwrap();
            assert_eq!(halves.kind, kind);
            let mut back = vec![f32::NAN; values.len() - 3];
            halves.widen(3, &mut back);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(&back) == bits(&values[3..]));
        }
    }

    #[test]
    fn other_values_stay_as_they_are() {
        for value in [0.1f32, 1.0 + f32::EPSILON] {
            let mut values = vec![1.0; 2 * CHUNK];
            assert!(Halves::of(&values).is_some());
            values[CHUNK + 7] = value;
            assert!(Halves::of(&values).is_none(), "{value}");
        }
        assert_eq!(Halves::of(&[f32::INFINITY]).unwrap().kind, Kind::Brain);
    }
}
