//! Epilogues on their own, and linear combinations.

use super::{
    super::{Array, reference, suite::Suite},
    epilogues::Parts,
};
use crate::{DiffusionBackend, Epilogue, ops};

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let combinations = if suite.is_full() { Parts::every() } else { Parts::few() };
    for parts in combinations {
        epilogue(suite, [2, 3, 6], parts);
    }
    for shape in [[1, 1, 2], [3, 130, 4], [1, 65, 34]] {
        epilogue(suite, shape, Parts::ALL);
        epilogue(suite, shape, Parts::GEGLU);
    }
    broadcast_residual(suite);
    far_values(suite);
    linear_combinations(suite);
}

fn epilogue<B: DiffusionBackend>(suite: &mut Suite<B>, shape: [usize; 3], parts: Parts) {
    let input = suite.random_around(&shape, 0.0, 2.0);
    let values = parts.values(suite, &shape);
    let expected = reference::epilogue(&input, &values);
    let name = format!("epilogue {shape:?}, {parts}");
    suite.check::<3>(name, suite.tolerances.elementwise, &expected, |make| {
        ops::epilogue(make.tensor(&input), make.epilogue(&values))
    });
}

/// A residual that is one row repeated by a stride of 0.
fn broadcast_residual<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let shape = [2, 3, 4];
    let (input, row) = (suite.random(&shape), suite.random(&[1, 1, 4]));
    let sum = Array::from_fn(shape, |index| input.at(index) + row.at([0, 0, index[2]]));
    suite.check::<3>("broadcast residual", suite.tolerances.elementwise, &sum, |make| {
        let residual = make.tensor::<3>(&row).expand(shape);
        ops::epilogue(make.tensor(&input), Epilogue::new().residual(Some(residual)))
    });
}

/// Activations of values so large that their exponentials overflow.
fn far_values<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let values = [-1000.0, -90.0, -20.0, -6.0, -1e-3, 0.0, 1e-3, 6.0, 20.0, 90.0, 1000.0, 0.5];
    let input = Array::new(&[1, 1, 12], values.to_vec()).round(suite.dtype);
    for activation in super::epilogues::ACTIVATIONS {
        let parts = Parts { activation: Some(activation), ..Parts::NONE };
        let expected = reference::epilogue(&input, &parts.values(suite, &[1, 1, 12]));
        let name = format!("{activation} of far values");
        suite.check::<3>(name, suite.tolerances.elementwise, &expected, |make| {
            ops::epilogue(make.tensor(&input), Epilogue::new().activation(activation))
        });
    }
}

fn linear_combinations<B: DiffusionBackend>(suite: &mut Suite<B>) {
    for coefficients in [&[1.0][..], &[-0.5], &[1.0, 1.0], &[7.5, -6.5], &[0.1, 0.0, -2.0, 1.0]] {
        let shape = [2, 4, 3, 5];
        let arrays = coefficients.iter().map(|_| suite.random(&shape)).collect::<Vec<_>>();
        let terms: Vec<(f64, Array)> = coefficients.iter().copied().zip(arrays).collect();
        let expected = reference::linear_combination(&terms);
        let name = format!("linear_combination {coefficients:?}");
        suite.check::<4>(&name, suite.tolerances.elementwise, &expected, |make| {
            ops::linear_combination(terms.iter().map(|(c, array)| (*c, make.tensor(array))))
        });
        let flat: Vec<(f64, Array)> =
            terms.iter().map(|(c, array)| (*c, array.reshape(&[8, 15]))).collect();
        let expected = expected.reshape(&[8, 15]);
        let name = format!("{name} of rank 2");
        suite.check::<2>(name, suite.tolerances.elementwise, &expected, |make| {
            ops::linear_combination(flat.iter().map(|(c, array)| (*c, make.tensor(array))))
        });
    }
}
