//! How far a result may be from its reference.

use burn::tensor::DType;

use super::Array;

/// What a tolerance limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Largest error, relative to the reference's largest magnitude.
    MaxAbs,
    /// L2 norm of the error, relative to that of the reference. The largest error may be ten times as much of the
    /// largest magnitude, so that a single wrong element among many is seen as well.
    RelativeL2,
}

/// Tolerances of one backend and dtype.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// What is limited.
    pub measure: Measure,
    /// Of linear, convolution and attention.
    pub product: f64,
    /// Of the normalisations.
    pub norm: f64,
    /// Of epilogues and linear combinations.
    pub elementwise: f64,
}

impl Tolerances {
    /// What a backend that computes in `dtype` should reach.
    pub fn of(dtype: DType) -> Self {
        let (measure, product, norm, elementwise) = match dtype {
            DType::F64 => (Measure::MaxAbs, 1e-11, 1e-11, 1e-11),
            DType::F16 => (Measure::RelativeL2, 2e-3, 1.5e-3, 1e-3),
            DType::BF16 => (Measure::RelativeL2, 1e-2, 8e-3, 5e-3),
            _ => (Measure::MaxAbs, 2e-5, 2e-5, 1e-5),
        };
        Self { measure, product, norm, elementwise }
    }

    /// f32 whose matrix products round their inputs to TF32 (10 bits), as CUDA's tensor cores do.
    pub fn tf32() -> Self {
        Self { product: 2e-3, ..Self::of(DType::F32) }
    }
}

/// The error of `found`, by a measure.
pub fn error(expected: &Array, found: &Array, measure: Measure) -> f64 {
    let errors = expected.values().iter().zip(found.values()).map(|(e, f)| (e - f).abs());
    match measure {
        Measure::MaxAbs => relative(max(errors), max(magnitudes(expected))),
        Measure::RelativeL2 => relative(norm(errors), norm(magnitudes(expected))),
    }
}

/// Says how `found` is wrong.
pub(crate) fn compare(
    expected: &Array,
    found: &Array,
    measure: Measure,
    tolerance: f64,
) -> Result<(), String> {
    if expected.shape() != found.shape() {
        return Err(format!("expected shape {:?}, found {:?}", expected.shape(), found.shape()));
    }
    if let Some(index) = found.values().iter().position(|value| !value.is_finite()) {
        return Err(format!("{} at element {index}", found.values()[index]));
    }
    let limits = match measure {
        Measure::MaxAbs => vec![(Measure::MaxAbs, tolerance)],
        Measure::RelativeL2 => {
            vec![(Measure::RelativeL2, tolerance), (Measure::MaxAbs, 10.0 * tolerance)]
        }
    };
    for (measure, limit) in limits {
        let error = error(expected, found, measure);
        if error > limit {
            let worst = worst(expected, found);
            return Err(format!("{measure:?} error {error:.3e} over {limit:.1e}; {worst}"));
        }
    }
    Ok(())
}

fn worst(expected: &Array, found: &Array) -> String {
    let pairs = expected.values().iter().zip(found.values()).enumerate();
    let worst =
        pairs.max_by(|(_, (a, b)), (_, (c, d))| (*a - *b).abs().total_cmp(&(*c - *d).abs()));
    match worst {
        Some((index, (expected, found))) => {
            format!("worst at element {index}: expected {expected}, found {found}")
        }
        None => "no elements".to_owned(),
    }
}

fn magnitudes(array: &Array) -> impl Iterator<Item = f64> {
    array.values().iter().map(|value| value.abs())
}

fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn relative(error: f64, size: f64) -> f64 {
    if size == 0.0 { error } else { error / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told() {
        let expected = Array::new(&[3], vec![1.0, -2.0, 0.5]);
        let check = |values: &[f64], measure| {
            compare(&expected, &Array::new(&[values.len()], values.to_vec()), measure, 1e-3)
        };
        assert!(check(&[1.0, -2.001, 0.5], Measure::MaxAbs).is_ok());
        assert!(check(&[1.0, -2.01, 0.5], Measure::MaxAbs).unwrap_err().contains("element 1"));
        assert!(check(&[1.0, f64::NAN, 0.5], Measure::RelativeL2).unwrap_err().contains("NaN"));
        assert!(check(&[1.0, -2.0], Measure::MaxAbs).unwrap_err().contains("shape"));
    }

    #[test]
    fn one_wrong_element_of_many_is_seen() {
        let expected = Array::new(&[100_000], vec![1.0; 100_000]);
        let mut values = vec![1.0; 100_000];
        values[70_000] = 1.2;
        let found = Array::new(&[100_000], values);
        assert!(error(&expected, &found, Measure::RelativeL2) < 1e-3);
        assert!(compare(&expected, &found, Measure::RelativeL2, 1e-2).is_err());
    }
}
