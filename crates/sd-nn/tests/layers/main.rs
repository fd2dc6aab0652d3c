//! Layers against diffusers, their low-rank branches, and checkpoint files that other programs wrote.
#![allow(clippy::unwrap_used)]

mod any_file;
mod case;
mod damaged_files;
mod gguf_files;
mod golden;
mod low_rank;
mod single_files;
mod torch_files;
