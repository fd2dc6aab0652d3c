//! `sd train`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use tempfile::TempDir;

use crate::{fixture, refusal, sd, txt2img};

/// Four captioned pictures, and a run file for them.
fn training(directory: &Path, task: &str, model: &Path, more: &str) -> PathBuf {
    let data = directory.join("data");
    fs::create_dir_all(&data).unwrap();
    let mut lines = String::new();
    for index in 0..4u8 {
        let name = format!("{index}.png");
        let image = image::RgbImage::from_pixel(16, 16, image::Rgb([60 * index, 100, 200]));
        image.save(data.join(&name)).unwrap();
        lines += &format!("{}\n", serde_json::json!({"file_name": name, "text": "a plain colour"}));
    }
    fs::write(data.join("metadata.jsonl"), lines).unwrap();
    let path = directory.join(format!("{task}.toml"));
    let model = model.to_str().unwrap();
    let text = format!(
        "task = '{task}'\nmodel = '{model}'\noutput = '{task}'\nlog_every = 1\n\
         [data]\nfolder = 'data'\nframing = {{ size = [16, 16] }}\n{more}\n\
         [validation]\nprompts = ['a plain colour', 'another']\nsteps = 2\n\
         [train]\nbatch = 2\nema_decay = 0.9\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn train(run: &Path, more: &[&str]) -> Output {
    sd(&[&["train", run.to_str().unwrap(), "--device", "cpu"], more].concat())
}

/// From an autoencoder to a denoiser to a picture, with an interruption.
#[test]
fn training_makes_a_model_that_makes_pictures() {
    let directory = TempDir::new().unwrap();
    let vae = training(directory.path(), "autoencoder", &fixture("tiny-sd1"), "");
    fs::write(&vae, fs::read_to_string(&vae).unwrap() + "steps = 2\n").unwrap();
    let output = train(&vae, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A second run in its place would be the end of the first.
    assert!(refusal(&train(&vae, &[])).contains("resume"));

    let model = directory.path().join("autoencoder/model");
    let config = fs::read_to_string(model.join("vae/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    // That of its own latents, not the 0.18215 of the model that it began with.
    assert!((config["scaling_factor"].as_f64().unwrap() - 0.18215).abs() > 1e-3, "{config}");
    let both = "[diffusion]\ntrain_text_encoder = true";
    let run = training(directory.path(), "diffusion", &model, both);
    let text = fs::read_to_string(&run).unwrap();
    fs::write(&run, format!("{text}steps = 2\n")).unwrap();
    assert!(train(&run, &[]).status.success());
    fs::write(&run, format!("{text}steps = 3\n")).unwrap();
    assert!(train(&run, &["--resume"]).status.success());
    let log = fs::read_to_string(directory.path().join("diffusion/log.jsonl")).unwrap();
    let steps: Vec<u64> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(steps, [1, 2, 3]);
    assert!(directory.path().join("diffusion/sheets/00000003.png").is_file());

    let out = directory.path().join("out.png");
    let model = directory.path().join("diffusion/model");
    let output =
        txt2img(&model, &["--width", "16", "--height", "16", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let weights = "text_encoder/model.safetensors";
    assert_ne!(
        fs::read(model.join(weights)).unwrap(),
        fs::read(fixture("tiny-sd1").join(weights)).unwrap()
    );
}

#[test]
fn bad_run_files_are_refused() {
    let directory = TempDir::new().unwrap();
    let refused = |more: &str| {
        let run = training(directory.path(), "diffusion", &fixture("tiny-sd1"), more);
        refusal(&train(&run, &[]))
    };
    assert!(refused("[diffusion]\ncaption_dropuot = 1").contains("line"));
    assert!(refused("[diffusion]\ncaption_dropout = 1.5").contains("caption_dropout"));
    assert!(refusal(&sd(&["train", "no/such.toml"])).contains("no/such.toml"));
    let run = training(directory.path(), "diffusion", Path::new("no/such/model"), "");
    assert!(refusal(&train(&run, &[])).contains("no/such/model"));
    let run = training(directory.path(), "diffusion", &fixture("tiny-sd1"), "");
    fs::remove_file(directory.path().join("data/metadata.jsonl")).unwrap();
    assert!(refusal(&train(&run, &[])).contains("metadata.jsonl"));
}
