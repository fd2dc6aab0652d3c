//! Values of the right type that a model cannot have.

use std::{fmt::Display, ops::RangeInclusive};

use sd_kernels::{Activation, UnknownActivation};

/// A configuration value that cannot be used. [`ConfigFile::invalid`](super::ConfigFile::invalid) adds the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct ValueError {
    /// Path of the key, such as `down_block_types[1]`.
    pub key: String,
    /// What is wrong with its value.
    pub problem: ValueProblem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// A number that is too small or absurdly large.
    #[error("expected {min} to {max}, found {found}")]
    OutOfRange {
        /// Smallest value.
        min: usize,
        /// Largest value.
        max: usize,
        /// The value.
        found: usize,
    },
    /// A real number that cannot be computed with.
    #[error("expected {expected}, found {found}")]
    NotUsable {
        /// What would do.
        expected: &'static str,
        /// The value.
        found: f64,
    },
    /// A number that has to divide another and does not.
    #[error("{found} does not divide {whole} (`{whole_key}`)")]
    DoesNotDivide {
        /// The value.
        found: usize,
        /// What it has to divide.
        whole: usize,
        /// Where that stands.
        whole_key: String,
    },
    /// A list of another length than what it configures.
    #[error("expected {expected} entries, found {found}")]
    WrongLength {
        /// Entries needed.
        expected: usize,
        /// Entries in the list.
        found: usize,
    },
    /// A name that is not supported.
    #[error("{found:?} is not supported, expected {expected}")]
    Unsupported {
        /// The name.
        found: String,
        /// The names that are.
        expected: String,
    },
    /// A list that is empty or absurdly long.
    #[error("expected {min} to {max} entries, found {found}")]
    CountOutOfRange {
        /// Fewest entries.
        min: usize,
        /// Most entries.
        max: usize,
        /// Entries in the list.
        found: usize,
    },
    /// An activation that is not known.
    #[error(transparent)]
    Activation(#[from] UnknownActivation),
    /// Two keys that contradict each other.
    #[error("cannot be used {with}")]
    Conflict {
        /// "together with `other`" or "without `other`".
        with: String,
    },
}

impl ValueError {
    /// An error about a key.
    pub fn new(key: impl Display, problem: ValueProblem) -> Self {
        Self { key: key.to_string(), problem }
    }

    /// Checks a count or size.
    ///
    /// # Errors
    /// [`ValueProblem::OutOfRange`].
    pub fn check_range(
        key: impl Display,
        found: usize,
        range: RangeInclusive<usize>,
    ) -> Result<(), Self> {
        if range.contains(&found) {
            return Ok(());
        }
        let (min, max) = range.into_inner();
        Err(Self::new(key, ValueProblem::OutOfRange { min, max, found }))
    }

    /// Checks that a number, such as one of groups or heads, divides another; neither may be 0.
    ///
    /// # Errors
    /// [`ValueProblem::OutOfRange`] for 0, [`ValueProblem::DoesNotDivide`].
    pub fn check_divides(
        key: impl Display,
        found: usize,
        whole_key: impl Display,
        whole: usize,
    ) -> Result<(), Self> {
        if found == 0 {
            return Self::check_range(key, found, 1..=whole.max(1));
        }
        if whole.is_multiple_of(found) {
            return Ok(());
        }
        let whole_key = whole_key.to_string();
        Err(Self::new(key, ValueProblem::DoesNotDivide { found, whole, whole_key }))
    }

    /// Checks a list's length.
    ///
    /// # Errors
    /// [`ValueProblem::WrongLength`].
    pub fn check_length<T>(key: impl Display, list: &[T], expected: usize) -> Result<(), Self> {
        if list.len() == expected {
            return Ok(());
        }
        Err(Self::new(key, ValueProblem::WrongLength { expected, found: list.len() }))
    }

    /// Checks the length of a list that may have several.
    ///
    /// # Errors
    /// [`ValueProblem::CountOutOfRange`].
    pub fn check_count<T>(
        key: impl Display,
        list: &[T],
        range: RangeInclusive<usize>,
    ) -> Result<(), Self> {
        if range.contains(&list.len()) {
            return Ok(());
        }
        let (min, max) = range.into_inner();
        Err(Self::new(key, ValueProblem::CountOutOfRange { min, max, found: list.len() }))
    }

    /// Reads the name of an activation.
    ///
    /// # Errors
    /// [`ValueProblem::Activation`].
    pub fn parse_activation(key: impl Display, name: &str) -> Result<Activation, Self> {
        name.parse().map_err(|unknown: UnknownActivation| Self::new(key, unknown.into()))
    }

    /// Checks that a number is finite and above zero.
    ///
    /// # Errors
    /// [`ValueProblem::NotUsable`].
    pub fn check_positive(key: impl Display, found: f64) -> Result<(), Self> {
        if found.is_finite() && found > 0.0 {
            return Ok(());
        }
        let expected = "a finite number above 0";
        Err(Self::new(key, ValueProblem::NotUsable { expected, found }))
    }

    /// Checks that a number is finite.
    ///
    /// # Errors
    /// [`ValueProblem::NotUsable`].
    pub fn check_finite(key: impl Display, found: f64) -> Result<(), Self> {
        if found.is_finite() {
            return Ok(());
        }
        Err(Self::new(key, ValueProblem::NotUsable { expected: "a finite number", found }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_key_what_was_expected_and_what_was_found() {
        for (error, message) in [
            (ValueError::check_range("layers", 0, 1..=8), "`layers`: expected 1 to 8, found 0"),
            (
                ValueError::check_divides("groups", 3, "channels[1]", 8),
                "`groups`: 3 does not divide 8 (`channels[1]`)",
            ),
            (
                ValueError::check_divides("groups", 0, "channels[1]", 8),
                "`groups`: expected 1 to 8, found 0",
            ),
            (ValueError::check_length("types", &[1], 2), "`types`: expected 2 entries, found 1"),
            (
                ValueError::check_count::<u8>("types", &[], 1..=4),
                "`types`: expected 1 to 4 entries, found 0",
            ),
            (
                ValueError::check_positive("eps", -1.0),
                "`eps`: expected a finite number above 0, found -1",
            ),
            (
                ValueError::check_finite("mean", f64::NAN),
                "`mean`: expected a finite number, found NaN",
            ),
        ] {
            assert_eq!(error.unwrap_err().to_string(), message);
        }
        assert!(ValueError::check_range("layers", 8, 1..=8).is_ok());
        assert!(ValueError::check_divides("groups", 4, "channels", 8).is_ok());
    }
}
