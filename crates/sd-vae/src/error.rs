//! What an autoencoder refuses.

use thiserror::Error;

/// An input that the autoencoder cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VaeError {
    /// An image or latents with another number of channels than the model has, or without any pixel.
    #[error(
        "{what} of shape {found:?}, expected [batch, {channels}, height, width] with nothing empty"
    )]
    Shape {
        /// "image" or "latents".
        what: &'static str,
        /// Channels that the model has.
        channels: usize,
        /// The shape given.
        found: [usize; 4],
    },
    /// An image whose sides are no multiples of the model's factor.
    #[error("an image of {width}×{height} pixels, expected multiples of {factor}")]
    Size {
        /// Columns of the image.
        width: usize,
        /// Rows of the image.
        height: usize,
        /// What both have to be multiples of.
        factor: usize,
    },
    /// Noise of another shape than the latents that it is drawn for.
    #[error("noise of shape {found:?} for latents of shape {expected:?}")]
    Noise {
        /// Shape of the latents.
        expected: [usize; 4],
        /// Shape of the noise.
        found: [usize; 4],
    },
}
