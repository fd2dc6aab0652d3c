//! Pictures from prompts.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{fixture, refusal, sd, txt2img};

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
