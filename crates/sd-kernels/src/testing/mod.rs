//! Holds any [`DiffusionBackend`] against an f64 reference.
//!
//! Every operation is run on random inputs that are dense, permuted, sliced, and shared with tensors that live on (which
//! must not change), and compared with the plain loops of [`reference`]. A backend of one's own is held with
//!
//! ```
//! # #[cfg(feature = "ndarray")] {
//! use burn::tensor::DType;
//! use sd_kernels::testing::{check_all, Scale, Tolerances};
//! type MyBackend = burn_ndarray::NdArray<f32>;
//!
//! let report = check_all::<MyBackend>(
//!     &Default::default(),
//!     DType::F32,
//!     &Tolerances::of(DType::F32),
//!     Scale::Small,
//! );
//! report.assert_passed();
//! # }
//! ```

mod array;
mod checks;
mod counting;
mod make;
#[cfg(feature = "ndarray")]
mod plain;
mod random;
pub mod reference;
mod report;
mod suite;
mod tolerance;

use burn::tensor::DType;

use crate::DiffusionBackend;

pub use array::Array;
pub use counting::{
    Counting, CountingChannel, CountingClient, CountingDevice, Launches, count_launches,
};
pub use make::Layout;
#[cfg(feature = "ndarray")]
pub use plain::Plain;
pub use random::Generator;
pub use report::{Failure, Report};
pub use tolerance::{Measure, Tolerances, error};

use suite::Suite;

/// How large the inputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Tiny shapes and fewer combinations, for a backend that compiles each kernel or is emulated.
    Small,
    /// Shapes of a few hundred thousand elements as well, and every combination.
    Full,
}

/// Runs every check of this module.
pub fn check_all<B: DiffusionBackend>(
    device: &B::Device,
    dtype: DType,
    tolerances: &Tolerances,
    scale: Scale,
) -> Report {
    let mut report = Report::default();
    for (_, check) in groups::<B>() {
        report.merge(check(device, dtype, tolerances, scale));
    }
    report
}

/// A group of checks.
pub type Check<B> =
    fn(&<B as burn::tensor::backend::BackendTypes>::Device, DType, &Tolerances, Scale) -> Report;

/// The groups of which [`check_all`] consists, each with its name.
pub fn groups<B: DiffusionBackend>() -> [(&'static str, Check<B>); 7] {
    [
        ("linear", check_linear::<B>),
        ("conv2d", check_conv2d::<B>),
        ("attention", check_attention::<B>),
        ("norms", check_norms::<B>),
        ("elementwise", check_elementwise::<B>),
        ("weights", check_weights::<B>),
        ("capture", check_capture::<B>),
    ]
}

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident => $module:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<B: DiffusionBackend>(
                device: &B::Device,
                dtype: DType,
                tolerances: &Tolerances,
                scale: Scale,
            ) -> Report {
                let mut suite = Suite::<B>::new(device, dtype, *tolerances, scale);
                checks::$module::run(&mut suite);
                suite.finish()
            }
        )*
    };
}

groups! {
    /// Linear layers with every epilogue.
    check_linear => linear;
    /// Convolutions: geometry, paired and upsampled inputs, epilogues.
    check_conv2d => conv2d;
    /// Attention: head widths, views of fused projections, masks, chunks, large scores.
    check_attention => attention;
    /// Group, layer and RMS norm.
    check_norms => norms;
    /// Epilogues on their own and linear combinations.
    check_elementwise => elementwise;
    /// Weights on their way in and out, and operations that read packed ones.
    check_weights => weights;
    /// The capture seam.
    check_capture => capture;
}
