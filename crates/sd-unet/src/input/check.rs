//! Checks that name the input.

use burn::tensor::{Tensor, backend::Backend};

use super::UNetInputError;

/// Checks that a tensor has a shape.
pub(super) fn shaped<B: Backend, const D: usize>(
    input: impl Into<String>,
    tensor: &Tensor<B, D>,
    expected: [usize; D],
) -> Result<(), UNetInputError> {
    if tensor.dims() == expected {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?}"), tensor.dims().to_vec());
    Err(UNetInputError::WrongShape { input: input.into(), expected, found })
}

/// One value for each of `batch` samples, from one for all or one for each.
pub(super) fn for_batch<T: Clone>(
    input: &'static str,
    values: Vec<T>,
    batch: usize,
) -> Result<Vec<T>, UNetInputError> {
    if values.len() == batch {
        return Ok(values);
    }
    match <[T; 1]>::try_from(values) {
        Ok([value]) => Ok(vec![value; batch]),
        Err(values) => Err(UNetInputError::WrongCount {
            input: input.into(),
            expected: format!("1 or {batch}"),
            found: values.len(),
        }),
    }
}

/// Checks that there is one value for each of `batch` samples.
pub(super) fn one_each<T>(
    input: &'static str,
    values: &[T],
    batch: usize,
) -> Result<(), UNetInputError> {
    if values.len() == batch {
        return Ok(());
    }
    let (expected, found) = (batch.to_string(), values.len());
    Err(UNetInputError::WrongCount { input: input.into(), expected, found })
}

/// Checks that all numbers are finite.
pub(super) fn finite(input: &'static str, values: &[f64]) -> Result<(), UNetInputError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(found) => Err(UNetInputError::NotFinite { input, found: *found }),
        None => Ok(()),
    }
}
