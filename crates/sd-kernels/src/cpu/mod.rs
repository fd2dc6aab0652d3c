//! Kernels for the CPU, on slices of f32: nothing here knows a backend.
//!
//! - [`product`]: linear layers and convolutions, by one register tile (`register_tile.rs`). A convolution's patches are read
//!   where they lie, through a table of pointers (`left.rs`): no im2col matrix exists;
//! - [`winograd`]: 3×3 convolutions of large images with a quarter of the multiplications;
//! - [`attention`]: tiles of queries and keys with online softmax;
//! - [`norm`]: group and layer norm.
//!
//! Every sum is taken in an order that follows from the shapes alone: results do not depend on the number of threads.

pub(crate) mod attention;
pub(crate) mod convolution;
mod epilogue;
mod halves;
pub(crate) mod left;
mod math;
mod memory;
pub(crate) mod norm;
mod panels;
pub(crate) mod product;
mod register_tile;
mod simd;
mod winograd;

pub(crate) use epilogue::Tail;
pub(crate) use panels::Panels;
