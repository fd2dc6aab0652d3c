//! Softmax of scores.

use burn_cubecl::CubeRuntime;

use super::{
    super::softmax::{self, Seen},
    Bench, gradient,
};
use crate::testing::Array;

fn reference(scores: &Array, scale: f64, seen: Seen) -> Array {
    let [_, _, queries, keys] = scores.dims();
    let rows = scores.values().chunks(keys).enumerate();
    let values = rows.flat_map(|(row, scores)| {
        let seen = match seen {
            Seen::NotLater => (row % queries + 1).min(keys),
            Seen::All => keys,
        };
        let largest = scores[..seen].iter().fold(f64::MIN, |a, b| a.max(scale * b));
        let weight = |score: &f64| (scale * score - largest).exp();
        let total: f64 = scores[..seen].iter().map(weight).sum();
        let value = |(key, score)| if key < seen { weight(score) / total } else { 0.0 };
        scores.iter().enumerate().map(value).collect::<Vec<f64>>()
    });
    Array::new(scores.shape(), values.collect())
}

pub(super) fn softmaxes<R: CubeRuntime>(bench: &mut Bench<R>) {
    for (shape, scale, seen) in [
        ([1, 1, 1, 1], 1.0, Seen::NotLater),
        ([2, 3, 5, 7], 0.5, Seen::All),
        ([2, 2, 9, 9], 0.3, Seen::NotLater),
        ([1, 2, 3, 77], 10.0, Seen::All),
        ([1, 1, 4, 1300], 1.0, Seen::All),
        ([1, 2, 70, 72], 1.0, Seen::NotLater),
    ] {
        let scores = bench.random(&shape);
        let probabilities = reference(&scores, scale, seen);
        let found = softmax::forward(bench.upload(&scores), scale as f32, seen);
        bench.check(&format!("softmax {shape:?}"), &probabilities, found);

        let grad = bench.random(&shape);
        let scaled = |values: &Array| reference(values, scale, seen);
        if scores.values().len() > 6000 {
            continue;
        }
        let expected = gradient(&scores, &grad, scaled);
        let found =
            softmax::backward(bench.upload(&probabilities), bench.upload(&grad), scale as f32);
        bench.check(&format!("gradient of softmax {shape:?}"), &expected, found);
    }
}
