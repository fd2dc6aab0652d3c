//! Values of 16 bits, as f32 has them.

use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{memory::with_scratch, simd::dispatch};

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

    /// Writes the bits of values of any number, if this kind has all of them exactly.
    fn narrow_all(self, values: &[f32], bits: &mut [u16]) -> bool {
        let mut blocks = bits.chunks_mut(BLOCK).zip(values.chunks(BLOCK));
        blocks.all(|(bits, values)| self.narrow(values, bits))
    }
}

impl Halves {
    /// The values that `fill` writes, part by part, in 16 bits, if these have all of them exactly. They are those of `source` in
    /// another order, and perhaps zeros.
    pub(super) fn of_parts(
        source: &[f32],
        length: usize,
        part: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Option<Self> {
        // Most weights that are not of 16 bits show it at once.
        let first = &source[..source.len().min(BLOCK)];
        let mut kinds = [Kind::Half, Kind::Brain].into_iter();
        let kind = kinds.find(|kind| kind.narrow(first, &mut [0; BLOCK][..first.len()]))?;
        let narrowed = |kind: Kind| {
            let mut bits = vec![0; length];
            let parts = bits.par_chunks_mut(part.max(1)).enumerate();
            let exact = parts.map(|(index, bits)| {
                with_scratch(bits.len(), |values| {
                    fill(index, values);
                    kind.narrow_all(values, bits)
                })
            });
            let all = exact.all(|exact| exact);
            all.then_some(Self { bits, kind })
        };
        // A value of more than 65504 may come late.
        narrowed(kind).or_else(|| kinds.find_map(narrowed))
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

    fn halves(values: &[f32]) -> Option<Halves> {
        const PART: usize = 3000;
        Halves::of_parts(values, values.len(), PART, |part, target| {
            target.copy_from_slice(&values[part * PART..][..target.len()]);
        })
    }

    #[test]
    fn every_finite_value_comes_back() {
        let values = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite());
        let values: Vec<f32> = values.map(f32::from).collect();
        let brains = (0..=u16::MAX).map(|bits| f32::from_bits(u32::from(bits) << 16));
        let brains: Vec<f32> = brains.filter(|value| !value.is_nan()).collect();
        for (values, kind) in [(values, Kind::Half), (brains, Kind::Brain)] {
            let halves = halves(&values).unwrap();
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
            let mut values = vec![1.0; 10 * BLOCK];
            assert!(halves(&values).is_some());
            values[7 * BLOCK + 7] = value;
            assert!(halves(&values).is_none(), "{value}");
        }
        assert_eq!(halves(&[f32::INFINITY]).unwrap().kind, Kind::Brain);
        let mut values = vec![1.0; 10 * BLOCK];
        values[7 * BLOCK] = bf16::from_f32(1e20).to_f32();
        assert_eq!(halves(&values).unwrap().kind, Kind::Brain);
    }
}
