//! The seam behind which a denoiser's forward pass can be recorded and replayed.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::DType;

/// Names one recording: the same key promises the same weights, shapes and dtypes, and therefore the same launches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaptureKey {
    /// The module whose forward pass it is, with its present weights (see [`CaptureKey::new_model`]).
    pub model: u64,
    /// Shapes and dtypes of the inputs, in order.
    pub inputs: Vec<(Vec<usize>, DType)>,
    /// Anything else that changes the launches (which optional inputs are there, a scale baked in).
    pub variant: u64,
}

impl CaptureKey {
    /// A number that no other model has. A model takes a new one whenever its weights change, and so leaves its old
    /// recordings behind.
    pub fn new_model() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}
