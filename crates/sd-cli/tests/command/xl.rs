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
    let split = picture(&["--refiner", path, "--denoising-end", "0.5", "--target-size", "64x64"]);
    for expected in ["Seed: 0, ", "Refiner seed: 1, Denoising start: 0.5", "Target size: 64x64"] {
        assert!(text(&split).contains(expected), "{expected}");
    }
    let whole = picture(&["--refiner", path, "--refiner-strength", "0.5", "--batch", "1"]);
    assert!(text(&whole).contains("Denoising strength: 0.5"));
    assert!(split != whole);
}

/// What the picture says of its generation.
fn text(png: &[u8]) -> String {
    String::from_utf8_lossy(png).into_owned()
}

/// A second base may be asked for what a refiner does not read.
#[test]
fn another_base_goes_on() {
    let base = fixture("tiny-sdxl");
    let second = ["--refiner", base.to_str().unwrap(), "--denoising-end", "0.5"];
    let made =
        picture(&[&second[..], &["--prompt-2", "in oil", "--target-size", "64x64"]].concat());
    assert!(text(&made).contains("Prompt 2: in oil"));
}

/// Everything that the picture depends on is in its text, the first model's part too.
#[test]
fn the_picture_tells_what_was_given() {
    let directory = TempDir::new().unwrap();
    let latents = directory.path().join("first.safetensors");
    let latents = latents.to_str().unwrap();
    picture(&["--save-latents", latents]);
    let refiner = refiner();
    let options = ["--prompt-2", "in oil, by a master", "--negative-prompt-2", "frame"];
    let sizes = ["--original-size", "256x128", "--crops-coords-top-left", "8,0"];
    let more = ["--negative-target-size", "64x32", "--aesthetic-score", "7.5"];
    let path = refiner.path().to_str().unwrap();
    let last = ["--init-latents", latents, "--refiner", path, "--refiner-strength", "0.5"];
    let text = text(&picture(&[&options[..], &sizes, &more, &last].concat()));
    for expected in [
        "Prompt 2: \"in oil, by a master\"",
        "Negative prompt 2: frame",
        "Original size: 256x128",
        "Crop top left: \"8,0\"",
        "Negative target size: 64x32",
        "Initial latents: given",
        "Denoising strength: 0.5, Aesthetic score: 7.5",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}

/// A mistake of the second model's options ends the command before the first model is loaded.
#[test]
fn mistakes_in_the_refiners_options_are_found_at_once() {
    let refiner = refiner();
    let path = refiner.path().to_str().unwrap();
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let message = |path: &str, options: &[&str]| {
        let fixed = ["--refiner", path, "--verbose", "--out", out.to_str().unwrap()];
        let output = txt2img(&fixture("tiny-sdxl"), &[&fixed, options].concat());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!log.contains("loaded"), "{options:?}: {log}");
        refusal(&output)
    };
    for (options, expected) in [
        (["--refiner-strength", "1.5"], "strength is 1.5, expected 0 to 1"),
        (["--refiner-strength", "0"], "no step is left of 2"),
        (["--refiner-strength", "nan"], "strength is NaN"),
        (["--aesthetic-score", "nan"], "aesthetic_score is NaN"),
        (["--denoising-end", "1"], "leaves nothing to the refiner"),
    ] {
        let found = message(path, &options);
        assert!(found.contains(expected), "{found}");
    }
    let base = fixture("tiny-sdxl");
    let found = message(base.to_str().unwrap(), &["--aesthetic-score", "5"]);
    assert!(found.contains("reads no aesthetic score"), "{found}");
    let other = fixture("tiny-sd1");
    let found = message(other.to_str().unwrap(), &[]);
    assert!(found.contains("found a `StableDiffusionPipeline`"), "{found}");
    let index = refiner.path().join("model_index.json");
    let text = fs::read_to_string(&index).unwrap();
    assert!(text.contains("CLIPTextModelWithProjection"));
    fs::write(&index, text.replace("CLIPTextModelWithProjection", "CLIPTextModel")).unwrap();
    assert!(message(path, &[]).contains("missing text_encoder_2"));
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
