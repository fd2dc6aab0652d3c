//! The text model against transformers, and what it refuses.
#![allow(clippy::unwrap_used)]

mod bad_configurations;
mod files;
#[path = "../../../../tests/golden/mod.rs"]
mod golden;
mod inputs;
mod reference;

use burn::tensor::DType;
use golden::{B, fixture};
use sd_clip::{ClipTextConfig, ClipTextModel};
use sd_nn::checkpoint::open_weights;

/// The model of a component's directory.
fn load(directory: &str) -> ClipTextModel<B> {
    let directory = fixture(directory);
    let config = ClipTextConfig::open(directory.join("config.json")).unwrap();
    let source = open_weights(&directory, None).unwrap();
    let model = config.init(&Default::default()).unwrap();
    let (model, report) = model.load(&source, DType::F32).unwrap();
    assert!(report.is_complete() && report.unexpected.is_empty(), "{report}");
    model
}
