//! `sd inspect`.

use std::fs;

use tempfile::TempDir;

use crate::{copy, edit_json, fixture, refusal, sd};

#[test]
fn inspect_says_what_is_there() {
    let model = fixture("tiny-sd1");
    let output = sd(&["inspect", model.to_str().unwrap()]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in ["StableDiffusionPipeline", "UNet2DConditionModel", "F32", "nothing is missing"]
    {
        assert!(text.contains(expected), "{text}");
    }

    let directory = TempDir::new().unwrap();
    copy(&model, directory.path());
    let text_encoder = directory.path().join("text_encoder/config.json");
    edit_json(&text_encoder, "num_hidden_layers", "9");
    fs::remove_file(directory.path().join("scheduler/scheduler_config.json")).unwrap();
    fs::remove_dir_all(directory.path().join("unet")).unwrap();
    fs::write(directory.path().join("vae/diffusion_pytorch_model.safetensors"), "").unwrap();
    let output = sd(&["inspect", "--json", directory.path().to_str().unwrap()]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["missing"], serde_json::json!(["scheduler", "text_encoder", "unet", "vae"]));

    assert!(refusal(&sd(&["inspect", "no/such/model"])).contains("no such directory"));
}
