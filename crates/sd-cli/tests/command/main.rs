//! The `sd` command as its user runs it: what works, and what is refused with status 2 and one clear line.
#![allow(clippy::unwrap_used)]

mod bench;
mod convert;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
#[path = "../../../../tests/hub_server/mod.rs"]
mod hub_server;
mod inspect;
mod refusals;
mod single;
mod training;
mod txt2img;
mod xl;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// `sd`, which asks nothing of the Hub and knows nothing of the user's cache and token.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sd"));
    for variable in [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "TRANSFORMERS_OFFLINE",
    ] {
        command.env_remove(variable);
    }
    command.env("HF_HOME", "no/such/cache").env("HF_HUB_OFFLINE", "1").env("NO_PROXY", "127.0.0.1");
    command.args(arguments);
    command
}

fn sd(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// `sd txt2img` on a model, in two steps.
fn txt2img(model: &Path, arguments: &[&str]) -> Output {
    let model = model.to_str().unwrap();
    let fixed = ["txt2img", "--model", model, "--prompt", "a lighthouse", "--device", "cpu"];
    let steps: &[&str] = if arguments.contains(&"--steps") { &[] } else { &["--steps", "2"] };
    sd(&[&fixed, steps, arguments].concat())
}

/// The message of a refusal, which is one line, with status 2 and without a panic.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    // Logged warnings and the progress bar may stand before it, and the usage that clap prints after.
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    if !text.contains("--help") {
        assert_eq!(text.lines().last(), errors.first().copied(), "{text}");
    }
    errors[0].to_owned()
}

fn refused(arguments: &[&str], expected: &str) {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let arguments = [arguments, &["--out", out.to_str().unwrap()]].concat();
    let message = refusal(&txt2img(&fixture("tiny-sd1"), &arguments));
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    assert!(!out.exists(), "a file was written in spite of: {message}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// What `sd` says of a copy of the tiny model that `damage` was done to.
fn damaged(damage: impl FnOnce(&Path)) -> String {
    let directory = TempDir::new().unwrap();
    copy(&fixture("tiny-sd1"), directory.path());
    damage(directory.path());
    let out = directory.path().join("out.png");
    let output = txt2img(directory.path(), &["--out", out.to_str().unwrap()]);
    assert!(!out.exists());
    refusal(&output)
}

fn edit_json(path: &Path, key: &str, value: &str) {
    let text = fs::read_to_string(path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json[key] = serde_json::from_str(value).unwrap();
    fs::write(path, json.to_string()).unwrap();
}

const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";
