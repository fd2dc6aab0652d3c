//! Quantised blocks as f32, operation by operation as ggml's reference implementation has it, so that the bits are the same.

use half::f16;
use rayon::prelude::*;

use super::GgmlType;

/// Blocks that one thread takes at a time.
const PIECE: usize = 1024;

/// Turns one block of bytes into its elements.
type Block = fn(&[u8], &mut [f32]);

fn block_of(dtype: GgmlType) -> Option<Block> {
    Some(match dtype.name() {
        "Q4_0" => q4_0,
        "Q4_1" => q4_1,
        "Q5_0" => q5_0,
        "Q5_1" => q5_1,
        "Q8_0" => q8_0,
        "Q2_K" => q2_k,
        "Q3_K" => q3_k,
        "Q4_K" => q4_k,
        "Q5_K" => q5_k,
        "Q6_K" => q6_k,
        _ => return None,
    })
}

/// Whole blocks as f32; `None` for a type that is not read. `consumed` hears how many bytes have been read so far.
pub(super) fn dequantise(
    bytes: &[u8],
    dtype: GgmlType,
    consumed: &mut dyn FnMut(usize),
) -> Option<Vec<f32>> {
    let block = block_of(dtype)?;
    let mut values = vec![0f32; bytes.len() / dtype.bytes * dtype.block];
    let group = 16 * PIECE;
    let mut done = 0;
    let groups = bytes.chunks(group * dtype.bytes).zip(values.chunks_mut(group * dtype.block));
    for (from, to) in groups {
        let pieces =
            from.par_chunks(PIECE * dtype.bytes).zip(to.par_chunks_mut(PIECE * dtype.block));
        pieces.for_each(|(from, to)| {
            let blocks = from.chunks_exact(dtype.bytes).zip(to.chunks_exact_mut(dtype.block));
            blocks.for_each(|(from, to)| block(from, to));
        });
        done += from.len();
        consumed(done);
    }
    Some(values)
}

/// The 16-bit float at an offset.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Nibbles of 16 bytes: first the low ones, then the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 0x0f).chain(bytes.iter().map(|byte| byte >> 4))
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (out, nibble) in out.iter_mut().zip(nibbles(&block[2..])) {
        *out = scale * f32::from(nibble as i8 - 8);
    }
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (out, nibble) in out.iter_mut().zip(nibbles(&block[4..])) {
        *out = scale * f32::from(nibble) + least;
    }
}

/// Five bits each: a nibble, and the fifth bit from a row of 32.
fn fives(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let high = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    nibbles(&bytes[4..]).enumerate().map(move |(at, low)| low | ((high >> at & 1) as u8) << 4)
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (out, value) in out.iter_mut().zip(fives(&block[2..])) {
        *out = scale * f32::from(value as i8 - 16);
    }
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (out, value) in out.iter_mut().zip(fives(&block[4..])) {
        *out = scale * f32::from(value) + least;
    }
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (out, &value) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(value as i8) * scale;
    }
}

/// 16 groups of 16: two bits each, scale and minimum of a group in a nibble each.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (scale, least) = (half(block, 80), half(block, 82));
    for (at, out) in out.iter_mut().enumerate() {
        let group = scales[at / 16];
        let (scale, least) = (scale * f32::from(group & 0x0f), least * f32::from(group >> 4));
        *out = scale * f32::from(crumb(bits, at)) - least;
    }
}

/// Two bits of an element: 32 bytes hold the low pairs of 32 elements, then the next pairs of the next 32, and so on.
fn crumb(bits: &[u8], at: usize) -> u8 {
    bits[at / 128 * 32 + at % 32] >> (at % 128 / 32 * 2) & 3
}

/// 16 groups of 16: two bits each and a third in a mask, where 0 means −4; scales of six bits.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (mask, bits, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108);
    for (at, out) in out.iter_mut().enumerate() {
        let group = at / 16;
        let low = scales[group % 8] >> (group / 8 * 4) & 0x0f;
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = scale * f32::from((low | high << 4) as i8 - 32);
        let four = if mask[at % 32] >> (at / 32) & 1 == 0 { 4 } else { 0 };
        *out = scale * f32::from(crumb(bits, at) as i8 - four);
    }
}

/// Scale and minimum of one of 8 groups of 32, six bits each, from 12 bytes.
fn scale_and_least(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (packed[group] & 0x3f, packed[group + 4] & 0x3f)
    } else {
        let rest = packed[group + 4];
        (rest & 0x0f | packed[group - 4] >> 2 & 0x30, rest >> 4 | packed[group] >> 2 & 0x30)
    };
    (f32::from(scale), f32::from(least))
}

/// A nibble of an element: 32 bytes hold the low ones of 32 elements, and the high ones of the next 32.
fn nibble(bits: &[u8], at: usize) -> u8 {
    bits[at / 64 * 32 + at % 32] >> (at % 64 / 32 * 4) & 0x0f
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (packed, bits) = (&block[4..16], &block[16..]);
    let (scale, least) = (half(block, 0), half(block, 2));
    for (at, out) in out.iter_mut().enumerate() {
        let group = scale_and_least(packed, at / 32);
        *out = scale * group.0 * f32::from(nibble(bits, at)) - least * group.1;
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (packed, high, bits) = (&block[4..16], &block[16..48], &block[48..]);
    let (scale, least) = (half(block, 0), half(block, 2));
    for (at, out) in out.iter_mut().enumerate() {
        let group = scale_and_least(packed, at / 32);
        let value = nibble(bits, at) | (high[at % 32] >> (at / 32) & 1) << 4;
        *out = scale * group.0 * f32::from(value) - least * group.1;
    }
}

/// 16 groups of 16: a nibble each and two bits, and scales of eight bits.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for (at, out) in out.iter_mut().enumerate() {
        // Halves of 128 elements: 64 bytes hold the low nibbles of the first 64 and the high ones of the others.
        let (part, within) = (at / 128, at % 128);
        let nibble = low[part * 64 + within % 64] >> (within / 64 * 4) & 0x0f;
        let value = (nibble | crumb(high, at) << 4) as i8 - 32;
        *out = scale * f32::from(scales[at / 16] as i8) * f32::from(value);
    }
}
