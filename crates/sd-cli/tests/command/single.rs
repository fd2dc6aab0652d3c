//! Pictures of whole models in one file.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{fixture, refusal, refused, sd, txt2img};

/// What names and shapes of the tiny model do not tell.
const UNTOLD: [&str; 10] = [
    "--config",
    "unet.norm_num_groups=4",
    "--config",
    "unet.attention_head_dim=2",
    "--config",
    "unet.sample_size=8",
    "--config",
    "vae.norm_num_groups=2",
    "--config",
    "text_encoder.num_attention_heads=2",
];

fn picture(model: &Path, arguments: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let output = txt2img(model, &[arguments, &["--out", out.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(&out).unwrap()
}

#[test]
fn a_file_makes_the_picture_of_its_directory() {
    let scratch = TempDir::new().unwrap();
    let (file, directory) = (fixture("single/tiny-sd1.ckpt"), scratch.path().join("model"));
    let tokenizer = fixture("tiny-sd2/tokenizer");
    let told = [&UNTOLD[..], &["--tokenizer", tokenizer.to_str().unwrap()]].concat();
    let paths = [file.to_str().unwrap(), directory.to_str().unwrap()];
    let output = sd(&[&["convert"], &paths[..], &told].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of_file = picture(&file, &told);
    assert!(of_file == picture(&directory, &[]));
    assert!(of_file != picture(&file, &[&told[..], &["--prediction", "v"]].concat()));
}

#[test]
fn files_that_make_no_picture_are_refused() {
    let says = |model: &Path, arguments: &[&str], expected: &str| {
        let message = refusal(&txt2img(model, arguments));
        assert!(message.contains(expected), "{message}");
    };
    let file = fixture("single/tiny-sd1.ckpt");
    says(&file, &[], "a single file has no tokenizer");
    says(&file, &["--config", "unet.norm_num_groups"], "COMPONENT.KEY=JSON");
    says(&fixture("torch/weights.ckpt"), &[], "holds nothing that is known");
    says(&fixture("torch/hostile/system.ckpt"), &[], "it asks to call `posix.system`");
    let vae = fixture("tiny-sd1/vae/diffusion_pytorch_model.safetensors");
    refused(&["--text-encoder", vae.to_str().unwrap()], "holds a component in diffusers' layout");
    // A refiner is looked at before the model does its part.
    refused(&["--refiner", file.to_str().unwrap()], "a single file has no tokenizer");
}
