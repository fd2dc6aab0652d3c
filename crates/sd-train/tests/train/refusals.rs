//! Runs that do not begin.

use std::path::Path;

use sd_train::{
    TrainError,
    run::{Resume, RunFile, run},
};

use crate::fixtures::B;

/// Why a run whose file begins with a line does not begin.
fn refusal(line: &str) -> TrainError {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.toml");
    let text = format!(
        "{line}\ntask = 'autoencoder'\nmodel = 'm'\noutput = 'o'\n\
         [data]\nfolder = 'f'\nframing = {{ size = [16, 16] }}\n"
    );
    std::fs::write(&path, text).unwrap();
    let file = RunFile::open(&path).unwrap();
    run::<B>(&file, &Default::default(), Resume::No, &mut ()).unwrap_err()
}

#[test]
fn precisions_that_nothing_trains_in_are_refused() {
    let error = refusal("dtype = 'f16'");
    assert!(matches!(error, TrainError::HalfPrecision), "{error}");
    assert!(error.to_string().contains("65504"), "{error}");
    let error = refusal("dtype = 'bf16'");
    assert!(matches!(error, TrainError::Precision(_)), "{error}");
    assert!(error.to_string().contains("does not compute in bf16"), "{error}");
    // With one that is there, it is the model that is missing.
    let error = refusal("dtype = 'f32'");
    assert!(
        error.to_string().contains(&Path::new("m").join("vae").display().to_string()),
        "{error}"
    );
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let error = refusal("devices = [0, 1]");
    assert!(matches!(error, TrainError::NoDevice { index: 1, .. }), "{error}");
}

#[cfg(not(feature = "collective"))]
#[test]
fn several_devices_need_their_feature() {
    let error = refusal("devices = [0, 0]");
    assert!(matches!(error, TrainError::NoCollective { devices: 2 }), "{error}");
    assert!(error.to_string().contains("--features collective"), "{error}");
}
