//! SDXL and its refiner.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{copy, fixture, refusal, refused, sd, txt2img};

/// The refiner's own parts, with the others from tiny-sdxl.
fn refiner() -> TempDir {
    let directory = TempDir::new().unwrap();
    for part in ["text_encoder_2", "tokenizer_2", "vae"] {
        copy(&fixture("tiny-sdxl").join(part), &directory.path().join(part));
    }
    copy(&fixture("tiny-sdxl-refiner"), directory.path());
    directory
}

fn picture(arguments: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let fixed = ["--width", "32", "--height", "16", "--out", out.to_str().unwrap()];
    let output = txt2img(&fixture("tiny-sdxl"), &[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(&out).unwrap()
}

#[test]
fn options_of_xl_change_the_picture() {
    let plain = picture(&[]);
    for arguments in [
        &["--prompt-2", "in oil"][..],
        // Zeros stand for no negative prompt, an empty one is encoded.
        &["--negative-prompt", ""],
        &["--original-size", "256x128", "--crops-coords-top-left", "8,0"],
        &["--negative-target-size", "64x32"],
    ] {
        assert!(picture(arguments) != plain, "{arguments:?}");
    }
}

#[test]
fn a_refiner_goes_on() {
    let refiner = refiner();
    let path = refiner.path().to_str().unwrap();
    let text = |png: &[u8]| String::from_utf8_lossy(png).into_owned();
    let split = picture(&["--refiner", path, "--denoising-end", "0.5", "--target-size", "64x64"]);
    assert!(text(&split).contains("Denoising start: 0.5"));
    let whole = picture(&["--refiner", path, "--refiner-strength", "0.5", "--batch", "1"]);
    assert!(text(&whole).contains("Denoising strength: 0.5"));
    assert!(split != whole);
}

#[test]
fn what_does_not_fit_is_refused() {
    refused(&["--prompt-2", "in oil"], "prompt_2 is given");
    refused(&["--aesthetic-score", "5"], "aesthetic_score is given");
    refused(&["--original-size", "64"], "WIDTHxHEIGHT");
    refused(&["--refiner", "no/such/model"], "no/such/model");
    refused(&["--refiner-strength", "0.5"], "required arguments");
    refused(&["--denoising-end", "2"], "denoising_end is 2");
    let broken = refiner();
    fs::remove_dir_all(broken.path().join("vae")).unwrap();
    refused(&["--refiner", broken.path().to_str().unwrap()], "missing vae");
}

#[test]
fn all_parts_are_inspected() {
    let refiner = refiner();
    let missing = |model: &Path| {
        let output = sd(&["inspect", model.to_str().unwrap(), "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["supported"], true);
        report["missing"].clone()
    };
    assert_eq!(missing(&fixture("tiny-sdxl")), serde_json::json!([]));
    assert_eq!(missing(refiner.path()), serde_json::json!([]));
}

#[test]
fn stages_of_xl_are_timed() {
    let refiner = refiner();
    for model in [fixture("tiny-sdxl").as_path(), refiner.path()] {
        let model = model.to_str().unwrap();
        let fixed = ["bench", "--model", model, "--device", "cpu", "--size", "16", "--runs", "1"];
        let output = sd(&[&fixed[..], &["--json", "--warm-up", "0"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let both = ["bench", "--model", "x", "--arch", "sdxl"];
    assert!(refusal(&sd(&both)).contains("--arch"));
}
