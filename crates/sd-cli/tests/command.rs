//! The `sd` command as its user runs it: what works, and what is refused with status 2 and one clear line.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn sd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sd")).args(arguments).output().unwrap()
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

#[test]
fn a_prompt_becomes_a_png() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("picture.png");
    let latents = directory.path().join("latents.safetensors");
    let output = txt2img(
        &fixture("tiny-sd1"),
        &["--out", out.to_str().unwrap(), "--save-latents", latents.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(&out).unwrap();
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    assert!(String::from_utf8_lossy(&bytes).contains("a lighthouse\nSteps: 2"));
    assert!(latents.exists());

    // The saved latents are no noise to start from, but of the right shape for it.
    let again = directory.path().join("again.png");
    let arguments = ["--init-latents", latents.to_str().unwrap(), "--out", again.to_str().unwrap()];
    assert!(txt2img(&fixture("tiny-sd1"), &arguments).status.success());
    assert_ne!(fs::read(&again).unwrap(), bytes);
}

#[test]
fn a_batch_is_numbered() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let out = out.to_str().unwrap();
    let output = txt2img(
        &fixture("tiny-sd1"),
        &[
            "--batch",
            "2",
            "--width",
            "32",
            "--height",
            "16",
            "--out",
            out,
            "--scheduler",
            "Euler a",
        ],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["out-0.png", "out-1.png"]);
}

#[test]
fn awkward_prompts_are_accepted() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.png");
    let out = out.to_str().unwrap();
    let model = fixture("tiny-sd1");
    let model = model.to_str().unwrap();
    let long = "lighthouse ".repeat(10_000);
    for (prompt, warns) in [("", false), (long.as_str(), true), ("--dashes", false)] {
        let arguments = [
            "txt2img", "--model", model, "--steps", "1", "--device", "cpu", "--out", out,
            "--prompt", prompt,
        ];
        let output = sd(&arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains("too long"), warns, "{text}");
    }
}

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
fn an_output_that_cannot_be_written_is_found_before_the_work() {
    let start = std::time::Instant::now();
    let output = txt2img(Path::new("no/such/model"), &["--out", "no/such/directory/out.png"]);
    // The model does not exist either, but the output is looked at first.
    assert!(refusal(&output).contains("no/such/directory/out.png"));
    assert!(start.elapsed().as_secs() < 10);

    let directory = TempDir::new().unwrap();
    let inside = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let refused = |out: &str, more: &[&str]| {
        refusal(&txt2img(Path::new("no/such/model"), &[more, &["--out", out]].concat()))
    };
    refused("", &[]);
    assert!(refused(&inside("results/"), &[]).contains("names no file"));
    refused(&inside(&"x".repeat(300)), &[]);
    let same = inside("a.png");
    assert!(refused(&same, &["--save-latents", &same]).contains("--save-latents"));
    let second = inside("a-1.png");
    assert!(refused(&same, &["--batch", "2", "--save-latents", &second]).contains("a-1.png"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_stays() {
    use std::os::unix::fs::FileTypeExt;
    assert!(txt2img(&fixture("tiny-sd1"), &["--out", "/dev/null"]).status.success());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
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
    says(&fixture("README.md"), "a file");
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
