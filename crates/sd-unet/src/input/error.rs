//! Inputs that do not fit the model.

/// An input of a U-Net that does not fit its configuration, or the other inputs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UNetInputError {
    /// A tensor of the wrong shape.
    #[error("`{input}` has shape {found:?}, expected {expected}")]
    WrongShape {
        /// The input.
        input: String,
        /// The shape it has to have.
        expected: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// Too many values or tensors, or too few.
    #[error("`{input}` has {found} entries, expected {expected}")]
    WrongCount {
        /// The input.
        input: String,
        /// How many there have to be.
        expected: String,
        /// How many there are.
        found: usize,
    },
    /// An input that the model's configuration asks for.
    #[error("`{input}` is missing, the model has `{key}`")]
    Missing {
        /// The input.
        input: &'static str,
        /// The key of the configuration that asks for it.
        key: &'static str,
    },
    /// An input that the model has no use for.
    #[error("`{input}` is given, but the model has no `{key}`")]
    Unexpected {
        /// The input.
        input: &'static str,
        /// The key of the configuration that would ask for it.
        key: &'static str,
    },
    /// Class labels of the wrong kind.
    #[error("`class_labels` are {found}, expected {expected}")]
    WrongLabels {
        /// The kind that the model takes.
        expected: &'static str,
        /// The kind given.
        found: &'static str,
    },
    /// A class label beyond the table.
    #[error("class label {label} is beyond the table of {entries} entries")]
    UnknownClass {
        /// The label.
        label: usize,
        /// Entries of the table.
        entries: usize,
    },
    /// A number that is infinite or no number.
    #[error("`{input}` holds {found}, expected finite numbers")]
    NotFinite {
        /// The input.
        input: &'static str,
        /// The number.
        found: f64,
    },
}
