//! Online softmax.

use super::super::math::exp;

/// Sums are added up in so many lanes.
const LANES: usize = 16;

/// Turns scores, times a factor, into weights relative to the largest so far. Returns by what earlier sums shrink, and the sum
/// of the weights.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32], factor: f32, largest: &mut f32) -> (f32, f32) {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [*largest; LANES];
    let chunks = scores.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(*largest, |most, score| larger(most, score * factor));
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, score * factor);
        }
    }
    let most = lanes.into_iter().fold(rest, larger);
    // Where all keys so far are masked, nothing is to be subtracted.
    let base = if most == f32::NEG_INFINITY { 0.0 } else { most };
    let shrink = exp(*largest - base);
    *largest = most;

    let mut lanes = [0.0f32; LANES];
    let mut chunks = scores.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *score = exp(*score * factor - base);
            *lane += *score;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for score in chunks.into_remainder() {
        *score = exp(*score * factor - base);
        sum += *score;
    }
    (shrink, sum)
}
