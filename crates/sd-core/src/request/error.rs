//! Requests that make no sense.

use core::fmt;

use thiserror::Error;

/// The numbers that are allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    range: core::ops::RangeInclusive<f64>,
    left_out: Option<End>,
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Start,
    Last,
}

impl From<core::ops::RangeInclusive<f64>> for Bounds {
    fn from(range: core::ops::RangeInclusive<f64>) -> Self {
        Self { range, left_out: None }
    }
}

impl Bounds {
    /// Numbers above the first, and up to the second.
    pub(super) fn above(start: f64, end: f64) -> Self {
        Self { range: start..=end, left_out: Some(End::Start) }
    }

    /// Numbers from the first on, and below the second.
    pub(super) fn below(start: f64, end: f64) -> Self {
        Self { range: start..=end, left_out: Some(End::Last) }
    }

    /// Whether a number is finite and allowed.
    pub(super) fn contains(&self, value: f64) -> bool {
        let left_out = match self.left_out {
            None => false,
            Some(End::Start) => value == *self.range.start(),
            Some(End::Last) => value == *self.range.end(),
        };
        value.is_finite() && self.range.contains(&value) && !left_out
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.range.start(), self.range.end());
        match self.left_out {
            _ if !end.is_finite() => f.write_str("a finite number"),
            None => write!(f, "{start} to {end}"),
            Some(End::Start) => write!(f, "above {start} and up to {end}"),
            Some(End::Last) => write!(f, "{start} or more and below {end}"),
        }
    }
}

/// Why a request makes no sense.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No picture, or too many.
    #[error("{found} pictures are asked for, expected 1 to {limit}")]
    BatchSize {
        /// Prompts times pictures of each.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// Neither none nor one nor as many as prompts.
    #[error("{found} {what} for {prompts} prompts, expected none, one or {prompts}")]
    PromptCount {
        /// Of which prompts.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many prompts there are.
        prompts: usize,
    },
    /// No steps.
    #[error("0 steps are asked for, expected at least 1")]
    Steps,
    /// Something that the model has no use for.
    #[error("{name} is given, which this model does not read: {reason}")]
    NotForModel {
        /// What is given.
        name: &'static str,
        /// Why the model does not read it.
        reason: &'static str,
    },
    /// Two things of which only one can be given.
    #[error("{name} and {other} are given, expected one of them: {reason}")]
    Exclusive {
        /// What is given.
        name: &'static str,
        /// What is given, too.
        other: &'static str,
        /// Why there is no use for both.
        reason: &'static str,
    },
    /// A number of sources that does not go into the number of pictures.
    #[error("{found} sources for {batch} pictures, expected one, or a number that divides {batch}")]
    SourceCount {
        /// How many there are.
        found: usize,
        /// How many pictures there are.
        batch: usize,
    },
    /// Another size than that of the first source.
    #[error("the source is {} by {} pixels, found {} by {}", expected[0], expected[1], found[0], found[1])]
    SourceSize {
        /// Width and height of the source.
        expected: [usize; 2],
        /// Those of the request, or of another source.
        found: [usize; 2],
    },
    /// A depth map in which everything is equally far away.
    #[error("everything in the depth map is equally far away")]
    FlatDepth,
    /// Channels beside the latents that the model does not read, or too few of those it reads.
    #[error(
        "the model reads {expected} channels beside the latents, this kind of request gives {found}"
    )]
    ExtraChannels {
        /// How many the model reads.
        expected: usize,
        /// How many the request gives.
        found: usize,
    },
    /// A noise level that the model was not trained with.
    #[error("noise_level is {found}, expected at most {limit}")]
    NoiseLevel {
        /// What it is.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// A part of the schedule without steps.
    #[error("no step is left of {steps}: strength, denoising_start or denoising_end leave none")]
    NoStepsLeft {
        /// Steps of the whole schedule.
        steps: usize,
    },
    /// A number out of its range.
    #[error("{name} is {value}, expected {range}")]
    Number {
        /// Which one.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: Bounds,
    },
    /// Not one seed for each picture.
    #[error("{found} seeds for {batch} pictures")]
    Seeds {
        /// How many there are.
        found: usize,
        /// How many pictures there are.
        batch: usize,
    },
    /// A side that the model cannot make.
    #[error("{name} is {side} pixels, expected a multiple of {factor} up to {limit}")]
    Size {
        /// Width or height.
        name: &'static str,
        /// What it is.
        side: usize,
        /// What divides it.
        factor: usize,
        /// The most.
        limit: usize,
    },
    /// Initial latents of another shape.
    #[error(
        "initial latents are {found:?}, expected [batch, channels, height, width] = {expected:?}"
    )]
    LatentShape {
        /// What the request and the model make of it.
        expected: [usize; 4],
        /// What they are.
        found: [usize; 4],
    },
    /// Initial latents with values that are no numbers.
    #[error("initial latents have a value that is not finite at index {index}")]
    LatentValue {
        /// Where, in row-major order.
        index: usize,
    },
}
