//! The autoencoder against diffusers, and what it refuses.
#![allow(clippy::unwrap_used)]

mod bad_configurations;
mod files;
#[path = "../../../../tests/golden/mod.rs"]
mod golden;
mod inputs;
mod reference;

use burn::tensor::DType;
use golden::{B, fixture};
use sd_nn::checkpoint::open_weights;
use sd_vae::{AutoencoderKL, AutoencoderKLConfig};

/// The model of a component's directory.
fn load(directory: &str) -> AutoencoderKL<B> {
    let directory = fixture(directory);
    let config = AutoencoderKLConfig::open(directory.join("config.json")).unwrap();
    let source = open_weights(&directory, None).unwrap();
    let model = config.init(&Default::default()).unwrap();
    let (model, report) = model.load(&source, DType::F32).unwrap();
    assert!(report.is_complete() && report.unexpected.is_empty(), "{report}");
    assert_eq!(report.loaded, source.names().len());
    model
}
