//! A CPU that has nothing but the default bodies.

use burn_ndarray::NdArray;
use burn_router::Router;

use crate::DiffusionBackend;

/// NdArray behind a router, which knows none of its kernels: what computes are the default bodies. (A router is over two backends
/// at least; the first is the default.)
pub type Plain = Router<(NdArray<f32>, NdArray<f32>)>;

impl DiffusionBackend for Plain {}
