//! Orders of convergence, measured on Gaussian data whose probability flow and reverse diffusion have closed forms.

#![allow(clippy::unwrap_used)]

mod common;

use common::{
    convergence::{FEWER_STEPS, STEPS, deterministic, slope, stochastic},
    gaussian::{Answer, law, statistics},
};
use sd_schedulers::PredictionType;

#[test]
fn deterministic_solvers_have_their_order() {
    let mut failures = Vec::new();
    for subject in deterministic() {
        let errors = STEPS.map(|steps| subject.error(steps));
        let slope = slope(&errors);
        println!("{:28} order {} slope {slope:.2} {errors:?}", subject.title, subject.order);
        if slope.is_nan() || slope < subject.order - 0.2 {
            failures.push((subject.title, slope, errors));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn stochastic_solvers_have_their_weak_order() {
    let mut failures = Vec::new();
    for subject in stochastic() {
        let errors = FEWER_STEPS.map(|steps| subject.weak_error(steps));
        let slope = slope(&errors);
        println!("{:28} order {} slope {slope:.2} {errors:?}", subject.title, subject.order);
        if slope.is_nan() || slope < subject.order - 0.2 {
            failures.push((subject.title, slope, errors));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// What the exact propagation of unit noises says is what many seeds come to.
#[test]
fn statistics_over_many_seeds_agree_with_the_law() {
    let (answer, seeds) = (Answer::Prediction(PredictionType::Epsilon), 20_000);
    for subject in stochastic().iter().filter(|subject| subject.title != "DPM++ SDE") {
        let plan = subject.plan(24, 1.0);
        let (factor, variance) = law(&plan, answer, false);
        let start = 1.3;
        let (mean, found) = statistics(&plan, answer, start, seeds);
        let standard_error = (variance / seeds as f64).sqrt();
        assert!((mean - factor * start).abs() < 4.0 * standard_error, "{}", subject.title);
        let relative = (2.0 / seeds as f64).sqrt();
        assert!((found / variance - 1.0).abs() < 4.0 * relative, "{}", subject.title);
    }
}
