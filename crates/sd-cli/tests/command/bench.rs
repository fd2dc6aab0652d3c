//! `sd bench`.

use tempfile::TempDir;

use crate::{copy, fixture, refusal, sd};

#[test]
fn stages_are_timed() {
    let model = fixture("tiny-sd1");
    let model = model.to_str().unwrap();
    let fixed = ["bench", "--model", model, "--device", "cpu", "--size", "32", "--runs", "3"];
    let output = sd(&[&fixed[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["device"], &report["batch"]), (&"cpu".into(), &2.into()));
    assert!(report["threads"].as_u64().unwrap() >= 1 && report["load_ms"].as_f64().unwrap() > 0.0);
    for stage in ["text", "unet", "vae_decode", "vae_encode"] {
        let times = &report["stages"][stage];
        let [min, median, max] =
            ["min_ms", "median_ms", "max_ms"].map(|key| times[key].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= max, "{times}");
        assert_eq!(times["warm_up_ms"].as_array().unwrap().len(), 1);
    }

    let output = sd(&[&fixed[..], &["--stage", "text"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("median") && text.contains("text") && !text.contains("unet"), "{text}");
}

/// Models that read more than latents: depth, or a picture and its noise level.
#[test]
fn models_with_more_channels_are_timed() {
    for name in ["tiny-sd2-depth", "tiny-upscaler"] {
        let directory = TempDir::new().unwrap();
        for part in ["text_encoder", "tokenizer", "vae"] {
            copy(&fixture("tiny-sd2").join(part), &directory.path().join(part));
        }
        copy(&fixture(name), directory.path());
        let model = directory.path().to_str().unwrap();
        let fixed = ["bench", "--model", model, "--device", "cpu", "--size", "32", "--runs", "1"];
        let output = sd(&[&fixed[..], &["--stage", "unet", "--json", "--warm-up", "0"]].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn bad_settings_are_refused() {
    let model = fixture("tiny-sd1");
    let model = model.to_str().unwrap();
    let refused = |more: &[&str]| refusal(&sd(&[&["bench", "--device", "cpu"], more].concat()));
    assert!(refused(&["--model", model, "--runs", "0"]).contains("at least 1"));
    assert!(refused(&["--model", model, "--batch", "0"]).contains("at least 1"));
    assert!(refused(&["--model", model, "--size", "33"]).contains("33×33 is no multiple of"));
    assert!(refused(&["--model", model, "--size", "0"]).contains("0×0 is no multiple of"));
    assert!(refused(&["--model", model, "--arch", "sd15"]).contains("--arch"));
    assert!(refused(&["--model", "no/such/model"]).contains("no/such/model"));
}
