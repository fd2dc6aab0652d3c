//! What a model's forward takes.

use sd_kernels::{Conv2dOptions, Padding};
use sd_nn::Sinusoidal;

/// What goes into a model, and the skips inside it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signature {
    /// Channels of the sample.
    pub(crate) in_channels: usize,
    /// Whether the sample goes from `[0, 1]` to `[-1, 1]` first.
    pub(crate) center: bool,
    /// Width of the context; `None` when no layer looks at it.
    pub(crate) context_width: Option<usize>,
    /// Features of a timestep.
    pub(crate) features: Sinusoidal,
    /// Class labels, when the model needs them.
    pub(crate) class: Option<ClassInput>,
    /// Pooled text and size scalars, when the model needs them.
    pub(crate) added: Option<AddedInput>,
    /// Width of the guidance embedding, when the model takes one.
    pub(crate) guidance: Option<usize>,
    /// Padding of the downsampling convolutions.
    pub(crate) halving: Padding,
    /// In the order in which they are made.
    pub(crate) skips: Vec<Skip>,
}

/// The form of class labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassInput {
    /// An entry of a table.
    Index {
        /// Entries of the table.
        entries: usize,
    },
    /// A scalar with the features of a timestep.
    Scalar,
    /// A vector.
    Vector {
        /// Its width.
        width: usize,
    },
}

/// The additional input of SDXL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AddedInput {
    /// Features of each scalar.
    pub(crate) features: Sinusoidal,
    /// Width of pooled text and all features together.
    pub(crate) width: usize,
}

/// A tensor that goes from the way down to the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skip {
    /// Its channels.
    pub(crate) channels: usize,
    /// How often the image has been halved.
    pub(crate) halvings: usize,
}

impl Signature {
    /// `[channels, height, width]` of every skip for a sample of `[height, width]`; `None` when the sample cannot be
    /// halved as often as the model does it.
    pub(crate) fn skip_shapes(&self, size: [usize; 2]) -> Option<Vec<[usize; 3]>> {
        let halving = Conv2dOptions { stride: 2, padding: self.halving };
        let mut sizes = vec![size];
        let mut shapes = Vec::with_capacity(self.skips.len());
        for skip in &self.skips {
            while sizes.len() <= skip.halvings {
                let last = sizes[sizes.len() - 1];
                sizes.push(halving.output_size(last, [3, 3])?);
            }
            let [height, width] = sizes[skip.halvings];
            shapes.push([skip.channels, height, width]);
        }
        Some(shapes)
    }
}
