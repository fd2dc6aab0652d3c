//! Examples, cross-crate tests and benches of Stable Diffusion on Burn. The library is [`sd_core`].

pub use sd_core;
