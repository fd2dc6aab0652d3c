//! A training run whose process is killed, and that goes on to the same numbers.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const STEPS: u64 = 6;

/// A run of the tiny model's autoencoder on four pictures, with a state after every step.
fn run_file(directory: &Path, output: &str) -> PathBuf {
    let data = directory.join("data");
    fs::create_dir_all(&data).unwrap();
    let lines = (0..4u8).map(|index| {
        let name = format!("{index}.png");
        let image = image::RgbImage::from_fn(16, 16, |x, y| {
            image::Rgb([60 * index, (x * 15) as u8, (y * 15) as u8])
        });
        image.save(data.join(&name)).unwrap();
        format!("{}\n", serde_json::json!({ "file_name": name, "text": "" }))
    });
    fs::write(data.join("metadata.jsonl"), lines.collect::<String>()).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-sd1");
    let path = directory.join(format!("{output}.toml"));
    let text = format!(
        "task = 'autoencoder'\nmodel = '{}'\noutput = '{output}'\nlog_every = 1\n\
         [data]\nfolder = 'data'\nframing = {{ size = [16, 16], random_flip = true }}\n\
         [train]\nsteps = {STEPS}\nbatch = 2\nlearning_rate = 3e-3\nema_decay = 0.9\n\
         [checkpoints]\nevery = 1\nkeep = 100\n",
        model.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn train(run: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sd"));
    command.args(["train", "--device", "cpu"]).arg(run).args(more);
    command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn state(output: &Path, step: u64) -> PathBuf {
    output.join(format!("states/state-{step:08}.safetensors"))
}

/// Losses by step, as the log has them.
fn losses(output: &Path) -> Vec<(u64, f64)> {
    let log = fs::read_to_string(output.join("log.jsonl")).unwrap();
    let entries = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let losses = entries.filter(|entry| entry.get("loss").is_some());
    losses.map(|entry| (entry["step"].as_u64().unwrap(), entry["loss"].as_f64().unwrap())).collect()
}

#[test]
fn a_killed_run_goes_on_to_the_same_numbers() {
    let directory = TempDir::new().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| run_file(directory.path(), name));
    let [whole_output, output] = ["whole", "killed"].map(|name| directory.path().join(name));

    let mut child = train(&killed, &[]);
    let since = Instant::now();
    while !state(&output, 1).is_file() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first state");
        assert!(since.elapsed() < Duration::from_secs(120), "no state");
        sleep(Duration::from_millis(2));
    }
    // SIGKILL, which nothing can answer.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!state(&output, STEPS).is_file(), "the run was done before it could be killed");

    assert!(train(&killed, &["--resume"]).wait().unwrap().success());
    assert!(train(&whole, &[]).wait().unwrap().success());
    let [found, expected] = [&output, &whole_output]
        .map(|output| (losses(output), fs::read(state(output, STEPS)).unwrap()));
    assert_eq!(found.0, expected.0);
    assert!(found.1 == expected.1, "another state than that of the run that nobody killed");
}
