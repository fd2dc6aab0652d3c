//! What is checked, one file for each operation or pair of operations.

pub(super) mod attention;
pub(super) mod capture;
pub(super) mod conv2d;
pub(super) mod elementwise;
pub(super) mod epilogues;
pub(super) mod linear;
pub(super) mod norms;
pub(super) mod weights;
