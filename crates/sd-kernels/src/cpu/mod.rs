//! Kernels for the CPU, on slices of f32: nothing here knows a backend.
//!
//! - [`product`]: linear layers and convolutions, one register tile for both: a convolution's patches are read where they
//!   lie, through a table of pointers, so no im2col matrix exists;
//! - [`winograd`]: 3×3 convolutions of large images with a quarter of the multiplications;
//! - [`attention`]: tiles of queries and keys with online softmax;
//! - [`norm`]: group and layer norm.
//!
//! Every sum is taken in an order that follows from the shapes alone: results do not depend on the number of threads.

pub(crate) mod attention;
pub(crate) mod convolution;
mod math;
mod memory;
mod micro;
pub(crate) mod norm;
mod panels;
pub(crate) mod product;
mod simd;
mod tail;
mod winograd;

pub(crate) use panels::Panels;
pub(crate) use tail::Tail;
