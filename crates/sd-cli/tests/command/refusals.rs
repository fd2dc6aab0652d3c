//! What is refused.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{WEIGHTS, damaged, edit_json, fixture, refusal, refused, txt2img};

#[test]
fn bad_arguments_are_refused() {
    refused(&["--steps", "0"], "0 steps");
    refused(&["--steps", "1001", "--scheduler", "ddim"], "1001");
    refused(&["--guidance-scale", "NaN"], "guidance scale is NaN");
    refused(&["--guidance-scale", "inf"], "guidance scale is inf");
    refused(&["--guidance-rescale", "-1"], "guidance rescale is -1");
    refused(&["--eta", "2"], "eta is 2");
    refused(&["--width", "0"], "width is 0");
    refused(&["--height", "63"], "height is 63 pixels, expected a multiple of 8");
    refused(&["--batch", "0"], "0 pictures");
    refused(&["--clip-skip", "99"], "clip");
    refused(&["--dtype", "f16"], "does not compute in f16");
    refused(&["--seed", "-1"], "'-1'");
    refused(&["--steps", "two"], "--steps");
    refused(&["--scheduler", "eulr"], "euler");
    refused(&["--device", "abacus"], "--device");
    refused(&["--init-latents", "no/such/file"], "no/such/file");
}

#[test]
fn bad_latents_are_refused() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, tensor: &str, dtype, shape: Vec<usize>, bytes: Vec<u8>| {
        let path = directory.path().join(name);
        let view = safetensors::tensor::TensorView::new(dtype, shape, &bytes).unwrap();
        fs::write(&path, safetensors::serialize([(tensor, view)], None).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    use safetensors::Dtype::{F32, I64};
    let file = write("shape", "latents", F32, vec![1, 4, 1, 1], vec![0; 16]);
    refused(&["--init-latents", &file], "[1, 4, 1, 1]");
    let file = write("rank", "latents", F32, vec![4], vec![0; 16]);
    refused(&["--init-latents", &file], "[4]");
    let file = write("dtype", "latents", I64, vec![1, 4, 16, 16], vec![0; 8 * 1024]);
    refused(&["--init-latents", &file], "I64");
    let file = write("name", "noise", F32, vec![1, 4, 1, 1], vec![0; 16]);
    refused(&["--init-latents", &file], "noise");
}

#[test]
fn missing_and_foreign_models_are_refused() {
    let says = |model: &Path, expected: &str| {
        let message = refusal(&txt2img(model, &[]));
        assert!(message.contains(expected), "{message}");
    };
    says(Path::new("no/such/model"), "no such directory");
    says(&fixture("README.md"), "README.md");
    says(&fixture("unets"), "no model_index.json");
    let message = damaged(|model| {
        edit_json(&model.join("model_index.json"), "_class_name", r#""FluxPipeline""#)
    });
    assert!(
        message.contains("FluxPipeline") && message.contains("StableDiffusionPipeline"),
        "{message}"
    );
    let message = damaged(|model| {
        edit_json(&model.join("model_index.json"), "unet", r#"["diffusers", "UFOModel"]"#)
    });
    assert!(message.contains("UFOModel"), "{message}");
    let message = damaged(|model| fs::remove_dir_all(model.join("vae")).unwrap());
    assert!(message.contains("no vae"), "{message}");
}

#[test]
fn broken_weights_are_refused() {
    let overwrite =
        |bytes: Vec<u8>| damaged(|model| fs::write(model.join(WEIGHTS), bytes).unwrap());
    assert!(damaged(|model| fs::remove_file(model.join(WEIGHTS)).unwrap()).contains("unet"));
    assert!(overwrite(vec![]).contains("empty"));
    assert!(overwrite(b"<!DOCTYPE html><html>404</html>".to_vec()).contains("HTML"));
    let huge = [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat();
    assert!(overwrite(huge).contains(WEIGHTS));
    let whole = fs::read(fixture("tiny-sd1").join(WEIGHTS)).unwrap();
    assert!(overwrite(whole[..whole.len() / 2].to_vec()).contains(WEIGHTS));
    assert!(overwrite(whole[..100].to_vec()).contains(WEIGHTS));
    for header in [
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}"#,
        r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"a":}"#,
    ] {
        let length = (header.len() as u64).to_le_bytes();
        let bytes = [length.as_slice(), header.as_bytes(), &[0; 12]].concat();
        assert!(overwrite(bytes).contains(WEIGHTS), "{header}");
    }
}

#[test]
fn wrong_and_missing_tensors_are_named() {
    // The text encoder's weights in the place of the U-Net's.
    let message = damaged(|model| {
        fs::copy(model.join("text_encoder/model.safetensors"), model.join(WEIGHTS)).unwrap();
    });
    assert!(message.contains("conv_in.weight"), "{message}");
    // Another width than the weights have.
    let message =
        damaged(|model| edit_json(&model.join("unet/config.json"), "cross_attention_dim", "24"));
    assert!(message.contains("24"), "{message}");
}

#[test]
fn bad_configurations_are_refused() {
    let refused = |file: &str, key: &str, value: &str, expected: &str| {
        let message = damaged(|model| edit_json(&model.join(file), key, value));
        assert!(
            message.contains(expected),
            "{key} = {value}: {message:?} does not say {expected:?}"
        );
    };
    for file in ["unet/config.json", "vae/config.json"] {
        refused(file, "norm_num_groups", "0", "norm_num_groups");
        refused(file, "norm_num_groups", "3", "norm_num_groups");
        refused(file, "block_out_channels", r#""many""#, "block_out_channels");
        refused(file, "act_fn", r#""swoosh""#, "swoosh");
    }
    refused(
        "unet/config.json",
        "down_block_types",
        r#"["UpsideDownBlock2D"]"#,
        "UpsideDownBlock2D",
    );
    refused("text_encoder/config.json", "hidden_act", r#""swoosh""#, "swoosh");
    refused("text_encoder/config.json", "hidden_size", r#""wide""#, "hidden_size");
    refused(
        "scheduler/scheduler_config.json",
        "_class_name",
        r#""PNDNScheduler""#,
        "PNDMScheduler",
    );
    refused("scheduler/scheduler_config.json", "beta_start", r#""low""#, "beta_start");
    refused("scheduler/scheduler_config.json", "beta_schedule", r#""straight""#, "straight");
    for file in [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ] {
        let message = damaged(|model| fs::write(model.join(file), "{\"a\": ").unwrap());
        assert!(message.contains(file.rsplit('/').next().unwrap()), "{message}");
        damaged(|model| fs::write(model.join(file), "[]").unwrap());
        damaged(|model| fs::remove_file(model.join(file)).unwrap());
    }
    let message = damaged(|model| {
        for name in ["tokenizer.json", "vocab.json"] {
            fs::write(model.join("tokenizer").join(name), "{").unwrap();
        }
    });
    assert!(message.contains("tokenizer") && message.contains("line 1"), "{message}");
    // A value of the wrong type is not taken for an outdated one.
    refused("scheduler/scheduler_config.json", "steps_offset", r#""abc""#, "steps_offset");
    refused("unet/config.json", "sample_size", "18446744073709551615", "");
    damaged(|model| edit_json(&model.join("vae/config.json"), "out_channels", "4"));
}
