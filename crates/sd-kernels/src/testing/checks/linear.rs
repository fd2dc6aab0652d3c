//! Linear layers.

use super::{
    super::{reference, suite::Suite},
    epilogues::Parts,
};
use crate::{DiffusionBackend, ops};

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    // batch, tokens, in, out
    let mut shapes = vec![[1, 1, 1, 1], [1, 1, 5, 6], [3, 5, 7, 10], [2, 9, 33, 18]];
    if suite.is_full() {
        shapes.extend([[1, 200, 3, 2], [2, 77, 130, 258], [1, 1, 320, 1280], [3, 130, 64, 66]]);
    }
    for shape in shapes {
        check(suite, shape, Parts::NONE);
        check(suite, shape, Parts::ALL);
        if shape[3].is_multiple_of(2) {
            check(suite, shape, Parts::GEGLU);
        }
    }
    let combinations = if suite.is_full() { Parts::every() } else { Parts::few() };
    for parts in combinations {
        check(suite, [2, 3, 5, 8], parts);
    }
    ranks(suite);
}

fn check<B: DiffusionBackend>(suite: &mut Suite<B>, shape: [usize; 4], parts: Parts) {
    let [batch, tokens, width, out] = shape;
    let input = suite.random(&[batch, tokens, width]);
    let weight = suite.random_weight(&[out, width]);
    let values = parts.values(suite, &[batch, tokens, out]);
    let expected = reference::epilogue(&reference::linear(&input, &weight), &values);
    let name = format!("linear {batch}×{tokens}×{width} to {out}, {parts}");
    suite.check::<3>(name, suite.tolerances.product, &expected, |make| {
        ops::linear(make.tensor(&input), &make.weight(&weight), make.epilogue(&values))
    });
}

/// The front takes any rank of which the first axis is the batch.
fn ranks<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let weight = suite.random_weight(&[4, 6]);
    let tolerance = suite.tolerances.product;
    let parts = Parts::ALL;

    let input = suite.random(&[3, 6]);
    let values = parts.values(suite, &[3, 4]);
    let expected = reference::epilogue(&reference::linear(&input, &weight), &values);
    suite.check::<2>("linear of rank 2", tolerance, &expected, |make| {
        ops::linear(make.tensor(&input), &make.weight(&weight), make.epilogue(&values))
    });

    let input = suite.random(&[2, 3, 2, 6]);
    let values = parts.values(suite, &[2, 3, 2, 4]);
    let expected = reference::epilogue(&reference::linear(&input, &weight), &values);
    suite.check::<4>("linear of rank 4", tolerance, &expected, |make| {
        ops::linear(make.tensor(&input), &make.weight(&weight), make.epilogue(&values))
    });

    let input = suite.random(&[6]);
    let expected = reference::linear(&input, &weight);
    suite.check::<1>("linear of rank 1", tolerance, &expected, |make| {
        ops::linear(make.tensor(&input), &make.weight(&weight), Default::default())
    });
}
