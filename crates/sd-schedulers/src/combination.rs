//! Linear combinations of the values that a sampler has at hand, written as formulas.

use std::ops::{Add, Mul, Sub};

/// A value that an update can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// The latents, before the update.
    Sample,
    /// The model output of this evaluation.
    Output,
    /// The model output without guidance, where the caller gave it ([`crate::Run::advance_guided`]); else `Output`.
    Unguided,
    /// The clean latents predicted by this evaluation, after clipping or thresholding.
    Denoised,
    /// Fresh unit-variance noise; naming it draws it, even with the factor 0.
    Noise,
    /// What an earlier update stored in this slot.
    Stored(usize),
}

/// One value and its factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The factor.
    pub coefficient: f64,
    /// The value.
    pub value: Value,
}

/// A sum of values with factors.
///
/// ```
/// use sd_schedulers::Value::{Denoised, Sample};
/// let ratio = 0.25;
/// let next = ratio * Sample + (1.0 - ratio) * Denoised;
/// assert_eq!(next.terms()[1].coefficient, 0.75);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Combination {
    terms: Vec<Term>,
}

impl Combination {
    /// The terms, in the order in which they are added up.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether a value occurs, with whatever factor.
    pub fn uses(&self, value: Value) -> bool {
        self.terms.iter().any(|term| term.value == value)
    }

    /// The same with one value in the place of another.
    pub fn replace(mut self, value: Value, by: Value) -> Self {
        self.terms.iter_mut().filter(|term| term.value == value).for_each(|term| term.value = by);
        self
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.terms.iter().all(|term| term.coefficient.is_finite())
    }
}

impl Mul<Value> for f64 {
    type Output = Combination;

    fn mul(self, value: Value) -> Combination {
        Combination { terms: vec![Term { coefficient: self, value }] }
    }
}

impl Mul<Combination> for f64 {
    type Output = Combination;

    fn mul(self, mut combination: Combination) -> Combination {
        combination.terms.iter_mut().for_each(|term| term.coefficient *= self);
        combination
    }
}

impl Add for Combination {
    type Output = Combination;

    /// Terms of the same value become one, so that each costs one operation.
    fn add(mut self, other: Combination) -> Combination {
        for term in other.terms {
            match self.terms.iter_mut().find(|own| own.value == term.value) {
                Some(own) => own.coefficient += term.coefficient,
                None => self.terms.push(term),
            }
        }
        self
    }
}

impl Sub for Combination {
    type Output = Combination;

    fn sub(self, other: Combination) -> Combination {
        self + -1.0 * other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_collect_terms() {
        let derivative = 0.5 * (1.0 * Value::Sample - 1.0 * Value::Denoised);
        let next = 1.0 * Value::Sample + 2.0 * derivative + 0.0 * Value::Noise;
        let terms: Vec<_> =
            next.terms().iter().map(|term| (term.coefficient, term.value)).collect();
        assert_eq!(terms, [(2.0, Value::Sample), (-1.0, Value::Denoised), (0.0, Value::Noise)]);
        assert!(next.uses(Value::Noise) && !next.uses(Value::Output));
        assert!(!(f64::NAN * Value::Output).is_finite());
    }
}
