//! What gradients are made of, in plain operations.

mod activation;
mod attention;
mod columns;
mod norm;
mod sum;

pub use activation::activation_backward;
pub use attention::attention_backward;
pub use columns::{columns, spread};
pub use norm::{group_norm_backward, layer_norm_backward};
pub use sum::sum_positions;
