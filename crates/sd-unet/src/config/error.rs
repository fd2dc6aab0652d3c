//! Why no U-Net can be made of a configuration.

use sd_nn::config::ConfigError;

/// A configuration that cannot be read, or of which no U-Net can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UNetConfigError {
    /// No such file, malformed JSON, a value of the wrong type or a name that is not supported.
    #[error(transparent)]
    Read(#[from] ConfigError),
    /// A list that does not have one value for each level, or for each layer of a level.
    #[error("`{key}` has {found} values, expected {expected}")]
    WrongLength {
        /// The key.
        key: String,
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A number that is too small, too large or not finite.
    #[error("`{key}` is {found}, expected {expected}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The number.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Groups or heads that do not divide the channels.
    #[error("`{key}`: {divisor} does not divide {channels} channels")]
    DoesNotDivide {
        /// The key.
        key: &'static str,
        /// Groups or heads.
        divisor: usize,
        /// Channels of the layer.
        channels: usize,
    },
    /// A key that another one needs.
    #[error("`{key}` is missing, {needed_by} needs it")]
    Missing {
        /// The key.
        key: &'static str,
        /// What needs it.
        needed_by: String,
    },
    /// A value that diffusers knows (or refuses) and this crate has no use for.
    #[error("`{key}` is {found}, which is not supported, expected {supported}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// The value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
}
