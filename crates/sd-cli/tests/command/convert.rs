//! `sd convert`, and `sd inspect` of files.

use std::{fs, path::Path};

use burn::tensor::DType;
use sd_core::sd_nn::checkpoint::{FileDtype, SafetensorsFile, WeightSource, open, open_weights};
use tempfile::TempDir;

use crate::{copy, fixture, refusal, sd};

fn succeed(arguments: &[&Path]) -> String {
    let arguments: Vec<&str> =
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
    let output = sd(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same tensors, value for value in the same types; text encoders may lack their wrapper.
fn assert_same(found: &dyn WeightSource, expected: &dyn WeightSource) {
    assert_eq!(found.names().len(), expected.names().len());
    for name in expected.names() {
        let wrapped = format!("text_model.{name}");
        let other = if found.info(&name).is_some() { &name } else { &wrapped };
        let info = expected.info(&name).unwrap();
        assert_eq!(found.info(other), Some(info.clone()), "{name}");
        let exact = match info.dtype {
            FileDtype::F16 => DType::F16,
            _ => DType::F32,
        };
        let (found, expected) =
            (found.read(other, exact).unwrap(), expected.read(&name, exact).unwrap());
        assert!(found.bytes == expected.bytes, "{name}");
    }
}

#[test]
fn a_directory_becomes_a_file_and_a_directory_again() {
    let scratch = TempDir::new().unwrap();
    for model in ["tiny-sd1", "tiny-sd2"] {
        let model = fixture(model);
        let file = scratch.path().join("model.safetensors");
        let back = scratch.path().join("back");
        succeed(&[Path::new("convert"), &model, &file]);
        let names = SafetensorsFile::open(&file).unwrap().names();
        assert!(names.iter().any(|name| name == "model.diffusion_model.out.2.weight"));
        let tokenizer = model.join("tokenizer");
        succeed(&[Path::new("convert"), &file, &back, Path::new("--tokenizer"), &tokenizer]);
        for component in ["unet", "vae", "text_encoder"] {
            let (found, expected) = (back.join(component), model.join(component));
            let (found, expected) =
                (open_weights(found, None).unwrap(), open_weights(expected, None).unwrap());
            assert_same(&found, &expected);
            // Groups and heads of models that nobody published are not told by names and shapes.
            fs::copy(
                model.join(component).join("config.json"),
                back.join(component).join("config.json"),
            )
            .unwrap();
        }
        let text = succeed(&[Path::new("inspect"), &back]);
        assert!(text.contains("nothing is missing"), "{text}");
        // What the file notes down of the scheduler comes back.
        let config = |directory: &Path| -> serde_json::Value {
            let text = fs::read(directory.join("scheduler/scheduler_config.json")).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let prediction = |directory: &Path| {
            config(directory)["prediction_type"].as_str().unwrap_or("epsilon").to_owned()
        };
        assert_eq!(prediction(&back), prediction(&model));
        fs::remove_file(file).unwrap();
        fs::remove_dir_all(back).unwrap();
    }
}

#[test]
fn a_pickle_becomes_safetensors_and_directories_of_xl_have_both_encoders() {
    let scratch = TempDir::new().unwrap();
    let (ckpt, file) = (fixture("single/tiny-sd1.ckpt"), scratch.path().join("model.safetensors"));
    let text = succeed(&[Path::new("convert"), &ckpt, &file]);
    assert!(text.contains("Stable Diffusion 1.x\n"), "{text}");
    assert_same(&open(&file).unwrap(), &open(&ckpt).unwrap());

    let (xl, directory) = (fixture("single/tiny-xl.safetensors"), scratch.path().join("xl"));
    let text = succeed(&[Path::new("convert"), &xl, &directory]);
    assert!(text.contains("missing: tokenizer, tokenizer_2"), "{text}");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("model_index.json")).unwrap()).unwrap();
    assert_eq!(index["_class_name"], "StableDiffusionXLPipeline");
    assert_eq!(index["text_encoder_2"][1], "CLIPTextModelWithProjection");
    for component in ["unet", "vae", "text_encoder", "text_encoder_2"] {
        let expected = fixture("single/tiny-xl").join(component).with_extension("safetensors");
        let found = open_weights(directory.join(component), None).unwrap();
        assert_same(&found, &SafetensorsFile::open(expected).unwrap());
    }
    let again = scratch.path().join("again.safetensors");
    succeed(&[Path::new("convert"), &directory, &again]);
    let (again, xl) = (open(&again).unwrap(), open(&xl).unwrap());
    for name in again.names() {
        assert_eq!(again.info(&name), xl.info(&name), "{name}");
    }
}

#[test]
fn what_cannot_be_converted_is_refused_and_leaves_nothing() {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("out");
    let refused = |input: &Path, output: &Path| {
        refusal(&sd(&["convert", input.to_str().unwrap(), output.to_str().unwrap()]))
    };
    let message = refused(&fixture("tiny-sd1"), &out);
    assert!(message.contains("has to be a .safetensors file"), "{message}");
    let message = refused(&fixture("torch/hostile/system.ckpt"), &out);
    assert!(message.contains("it asks to call `posix.system`"), "{message}");
    let message = refused(&fixture("torch/weights.ckpt"), &out);
    assert!(message.contains("holds nothing that is known"), "{message}");
    fs::write(scratch.path().join("page"), "<!DOCTYPE html><html>").unwrap();
    let message = refused(&scratch.path().join("page"), &out);
    assert!(message.contains("it looks like an HTML page"), "{message}");
    let message = refused(&fixture("single/tiny-sd1.ckpt"), scratch.path());
    assert!(message.contains("is there already"), "{message}");
    // A vocabulary that is not there, after everything else was written.
    let (ckpt, none) = (fixture("single/tiny-sd1.ckpt"), scratch.path().join("none"));
    let arguments = [
        "convert",
        ckpt.to_str().unwrap(),
        out.to_str().unwrap(),
        "--tokenizer",
        none.to_str().unwrap(),
    ];
    refusal(&sd(&arguments));
    let left: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["page"]);
}

#[test]
fn inspect_says_what_a_file_is() {
    let text = succeed(&[Path::new("inspect"), &fixture("single/tiny-sd1.ckpt")]);
    for expected in [
        "Stable Diffusion 1.x, epsilon",
        "PyTorch (legacy) file",
        "UNet2DConditionModel",
        "AutoencoderKL",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let text = succeed(&[Path::new("inspect"), &fixture("gguf/weights-v3.gguf")]);
    assert!(text.contains("GGUF file") && text.contains("Q4_K"), "{text}");
    let file = fixture("single/tiny-xl.safetensors");
    let text = succeed(&[Path::new("inspect"), Path::new("--json"), &file]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["contents"], "Stable Diffusion XL base");
    assert_eq!((&report["whole"], &report["ema"]), (&true.into(), &false.into()));
    assert_eq!(report["components"].as_array().unwrap().len(), 4);
    assert_eq!(report["unused"], serde_json::json!([]));
    let message = refusal(&sd(&["inspect", fixture("torch/hostile/eval.ckpt").to_str().unwrap()]));
    assert!(message.contains(".eval`"), "{message}");

    // Directories with files of torch are models as well.
    let scratch = TempDir::new().unwrap();
    copy(&fixture("tiny-sd1"), scratch.path());
    let weights = scratch.path().join("unet/diffusion_pytorch_model.safetensors");
    fs::rename(&weights, weights.with_extension("bin")).unwrap();
    let text = succeed(&[Path::new("inspect"), scratch.path()]);
    assert!(text.contains("nothing is missing"), "{text}");
}
