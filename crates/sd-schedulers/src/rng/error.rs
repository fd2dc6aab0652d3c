//! Noise that cannot be made.

/// What was asked of a generator and is not possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// A Brownian tree needs two times, both finite, below a billion, the first below the second.
    #[error(
        "a Brownian tree needs finite times below 1e9, the first below the second, found {from} and {to}"
    )]
    Range {
        /// The first time.
        from: f64,
        /// The second time.
        to: f64,
    },
    /// An interval outside of the tree's times, or with its ends swapped.
    #[error("expected an interval within {within:?}, its lower end first, found {from} to {to}")]
    Interval {
        /// The lower end.
        from: f64,
        /// The upper end.
        to: f64,
        /// The first and the last time of the tree.
        within: [f64; 2],
    },
    /// No seed was given.
    #[error("expected at least one seed, found none")]
    NoSeeds,
    /// Numbers that cannot be shared evenly among the images.
    #[error("expected as many numbers for each of {images} images, found {count} for all")]
    Share {
        /// The numbers for all images.
        count: usize,
        /// The images.
        images: usize,
    },
    /// A share of variation that is none.
    #[error("expected a variation strength between 0 and 1, found {strength}")]
    Strength {
        /// The strength asked for.
        strength: f32,
    },
    /// Latents without an element, or more than can be counted.
    #[error("expected latents of [channels, height, width] above 0, found {shape:?}")]
    Shape {
        /// The shape asked for.
        shape: [usize; 3],
    },
}
