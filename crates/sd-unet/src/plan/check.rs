//! Checks that name the key.

use std::ops::RangeInclusive;

use sd_nn::config::OneOrMany;

use crate::UNetConfigError;

/// Most channels of any layer, and width of any embedding: far beyond every model, and far from overflow.
pub(super) const MAX_WIDTH: usize = 1 << 16;

/// ResNet blocks of one level, and transformer blocks of one transformer, are not more.
pub(super) const MAX_LAYERS: usize = 256;

/// ResNet blocks and transformer blocks of a model are not more. An SDXL U-Net has 87.
const MAX_BLOCKS: usize = 4096;

/// The number, if it lies in the range.
pub(super) fn within(
    key: impl Into<String>,
    found: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, UNetConfigError> {
    if range.contains(&found) {
        return Ok(found);
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(UNetConfigError::OutOfRange { key: key.into(), found: found.to_string(), expected })
}

/// The number, if it is finite and fits.
pub(super) fn finite(
    key: &str,
    found: f64,
    fits: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<f64, UNetConfigError> {
    if found.is_finite() && fits(found) {
        return Ok(found);
    }
    let (found, expected) = (found.to_string(), expected.into());
    Err(UNetConfigError::OutOfRange { key: key.into(), found, expected })
}

/// One value for each of `count`.
pub(super) fn spread<T: Clone>(
    key: impl Into<String>,
    values: &OneOrMany<T>,
    count: usize,
) -> Result<Vec<T>, UNetConfigError> {
    values.expand(count).map_err(|wrong| UNetConfigError::WrongLength {
        key: key.into(),
        expected: wrong.expected,
        found: wrong.found,
    })
}

/// Checks that a list has one value for each of `count`.
pub(super) fn counted<T>(key: &str, values: &[T], count: usize) -> Result<(), UNetConfigError> {
    if values.len() == count {
        return Ok(());
    }
    Err(UNetConfigError::WrongLength { key: key.into(), expected: count, found: values.len() })
}

/// Checks that groups or heads divide the channels.
pub(super) fn divides(
    key: &'static str,
    divisor: usize,
    channels: usize,
) -> Result<(), UNetConfigError> {
    if divisor > 0 && channels.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(UNetConfigError::DoesNotDivide { key, divisor, channels })
}

/// Checks a number of blocks of the whole model.
pub(super) fn within_total(key: &str, found: usize) -> Result<(), UNetConfigError> {
    if found <= MAX_BLOCKS {
        return Ok(());
    }
    let (found, expected) = (format!("{found} blocks in all"), format!("up to {MAX_BLOCKS}"));
    Err(UNetConfigError::OutOfRange { key: key.into(), found, expected })
}
