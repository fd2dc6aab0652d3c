//! The tokenizer from its files to its ids.

#![allow(clippy::unwrap_used)]

mod bad_files;
mod golden;
mod prompts;
mod settings;
mod support;
