//! Full-size models, by names and shapes: what is told of a single file is what this project's own modules ask for.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    sync::Arc,
};

use burn::tensor::{DType, TensorData};
use flate2::read::GzDecoder;
use sd_nn::checkpoint::{FileDtype, TensorInfo};

use super::*;
use crate::components::{ClipEncoder, UNetDenoiser, VaeCodec};

type B = burn_ndarray::NdArray<f32>;

/// Names and shapes without values.
struct Shapes(BTreeMap<String, Vec<usize>>);

impl WeightSource for Shapes {
    fn origin(&self) -> String {
        "shapes".into()
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn info(&self, name: &str) -> Option<TensorInfo> {
        Some(TensorInfo { dtype: FileDtype::F16, shape: self.0.get(name)?.clone() })
    }
    fn read(&self, name: &str, _: DType) -> Result<TensorData, CheckpointError> {
        panic!("{name} was read")
    }
}

/// The names and shapes of each family's single file.
fn families() -> Vec<(String, BTreeMap<String, Vec<usize>>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/single/keys.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let rows = line["rows"].as_object().unwrap().values();
            let shapes = rows.flat_map(|rows| rows.as_array().unwrap()).map(|row| {
                let shape = serde_json::from_value(row[3].clone()).unwrap();
                (row[0].as_str().unwrap().to_owned(), shape)
            });
            (line["family"].as_str().unwrap().to_owned(), shapes.collect())
        })
        .collect()
}

/// A component's directory whose weights are a hole in the file.
fn write_hollow(directory: &Path, component: &Component) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("config.json"), component.config().to_string()).unwrap();
    let mut end = 0;
    let entries = component.names().into_iter().map(|name| {
        let shape = component.info(&name).unwrap().shape;
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F16", "shape": shape, "data_offsets": [begin, end] });
        (name, entry)
    });
    let header = Value::Object(entries.collect()).to_string();
    let stem =
        if component.name().starts_with("text") { "model" } else { "diffusion_pytorch_model" };
    let mut file = File::create(directory.join(format!("{stem}.safetensors"))).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

#[test]
fn the_components_of_every_family_fit_the_modules() {
    let scratch = tempfile::tempdir().unwrap();
    for (family, shapes) in families() {
        let options = SingleFileOptions::default();
        let file = SingleFile::new(Arc::new(Shapes(shapes)), &BTreeMap::new(), &options).unwrap();
        for component in file.components() {
            let directory = scratch.path().join(&family).join(component.name());
            write_hollow(&directory, component);
            let fits = match component.name() {
                "unet" => UNetDenoiser::<B>::check(&directory),
                "vae" => VaeCodec::<B>::check(&directory),
                _ => ClipEncoder::<B>::check(&directory),
            };
            fits.unwrap_or_else(|error| panic!("{family} {}: {error}", component.name()));
        }
        let scheduler = file.scheduler_config().unwrap();
        let directory = scratch.path().join(&family).join("scheduler");
        write_json(&directory.join("scheduler_config.json"), &scheduler).unwrap();
        crate::loading::scheduler(&directory).unwrap();
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

/// A copy of a small model in diffusers' layout.
fn copied(model: &str, to: &Path) -> PathBuf {
    let (from, to) = (fixture(model), to.join(model));
    for component in ["", "unet", "vae", "text_encoder", "scheduler"] {
        fs::create_dir_all(to.join(component)).unwrap();
        for entry in fs::read_dir(from.join(component)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, to.join(component).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    to
}

/// Changes a file of JSON.
fn change(path: &Path, change: impl Fn(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    write_json(path, &value).unwrap();
}

#[test]
fn what_a_scheduler_says_comes_back_from_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let model = copied("tiny-sd2", scratch.path());
    let config = model.join("scheduler/scheduler_config.json");
    let set = |prediction: Value, zero_snr: bool| {
        change(&config, |config| {
            config["prediction_type"] = prediction.clone();
            config["rescale_betas_zero_snr"] = json!(zero_snr);
        });
    };
    let there_and_back = |options: &ConvertOptions| -> Value {
        let (file, back) = (scratch.path().join("m.safetensors"), scratch.path().join("back"));
        convert(&model, &file, options).unwrap();
        convert(&file, &back, &ConvertOptions::default()).unwrap();
        let config = fs::read(back.join("scheduler/scheduler_config.json")).unwrap();
        fs::remove_file(file).unwrap();
        fs::remove_dir_all(back).unwrap();
        serde_json::from_slice(&config).unwrap()
    };
    let plain = ConvertOptions::default();
    // Said by the class of the scheduler alone; a file of 2.x without a word would be one of velocities.
    set(Value::Null, false);
    let back = there_and_back(&plain);
    assert_eq!(
        (&back["prediction_type"], back.get("rescale_betas_zero_snr")),
        (&json!("epsilon"), None)
    );
    set(json!("v_prediction"), true);
    let back = there_and_back(&plain);
    assert_eq!(
        (&back["prediction_type"], &back["rescale_betas_zero_snr"]),
        (&json!("v_prediction"), &json!(true))
    );
    let mut asked = ConvertOptions::default();
    asked.single_file.prediction = Some(Prediction::Noise);
    assert_eq!(there_and_back(&asked)["prediction_type"], "epsilon");

    set(json!("sample"), false);
    let out = scratch.path().join("out.safetensors");
    let error = convert(&model, &out, &plain).unwrap_err();
    assert!(
        matches!(&error, ConvertError::Prediction { found, .. } if *found == "sample"),
        "{error}"
    );
    assert!(!out.exists());
}

#[test]
fn what_is_no_model_is_no_success() {
    let scratch = tempfile::tempdir().unwrap();
    let model = copied("tiny-sd1", scratch.path());
    let out = scratch.path().join("out");
    let file = out.with_extension("safetensors");
    let plain = ConvertOptions::default();
    // An autoencoder under the names of LDM.
    let vae = scratch.path().join("vae.safetensors");
    let single = SingleFile::open(fixture("single/tiny-sd1.ckpt"), &plain.single_file).unwrap();
    let component = single.component("vae").unwrap().clone();
    let view =
        SingleFileView::new(ModelFamily::Sd1, vec![("vae".into(), Box::new(component) as _)]);
    save_new_file(&vae, tensors_of(&view.unwrap()).unwrap(), &BTreeMap::new()).unwrap();
    let mut family = ConvertOptions::default();
    family.single_file.family = Some(ModelFamily::Sd1);
    for output in [&out, &file] {
        let error = convert(&vae, output, &family).unwrap_err();
        assert!(matches!(error, ConvertError::NoFamily(_)), "{error}");
        assert!(!output.exists());
    }
    // A directory whose denoiser is none.
    let index = model.join("model_index.json");
    change(&index, |index| {
        index["transformer"] = json!(["diffusers", "PixArtTransformer2DModel"]);
        index["unet"] = json!([null, null]);
    });
    assert!(matches!(convert(&model, &file, &plain).unwrap_err(), ConvertError::NoFamily(_)));
    // Configurations that cannot be read are not those of 1.x.
    change(&index, |index| index["unet"] = json!(["diffusers", "UNet2DConditionModel"]));
    fs::write(model.join("unet/config.json"), "{").unwrap();
    let error = convert(&model, &file, &plain).unwrap_err();
    assert!(matches!(error, ConvertError::Model(_)), "{error}");
    assert!(!file.exists());
}

#[test]
fn what_is_left_out_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let model = copied("tiny-sd1", scratch.path());
    change(&model.join("model_index.json"), |index| {
        index["safety_checker"] = json!(["stable_diffusion", "StableDiffusionSafetyChecker"]);
        index["feature_extractor"] = json!(["transformers", "CLIPImageProcessor"]);
    });
    let (file, back) = (scratch.path().join("m.safetensors"), scratch.path().join("back"));
    let plain = ConvertOptions::default();
    assert_eq!(convert(&model, &file, &plain).unwrap().unused, ["safety_checker"]);

    let with_more = scratch.path().join("more.safetensors");
    let source = open(&file).unwrap();
    let mut tensors = tensors_of(&source).unwrap();
    let name = "control_model.input_hint_block.0.weight";
    tensors.push(TensorToSave { name: name.into(), ..zero_snr() });
    let metadata = BTreeMap::from([
        ("modelspec.title".to_owned(), "mine".to_owned()),
        ("modelspec.prediction_type".to_owned(), "epsilon".to_owned()),
    ]);
    save_new_file(&with_more, tensors, &metadata).unwrap();
    let converted = convert(&with_more, &back, &plain).unwrap();
    assert_eq!(
        (converted.unused.as_slice(), converted.missing.as_slice()),
        (&[name.to_owned()][..], &["tokenizer".to_owned()][..])
    );

    // From file to file everything is kept, and so is what the header says.
    let again = scratch.path().join("again.safetensors");
    assert!(convert(&with_more, &again, &plain).unwrap().unused.is_empty());
    let again = open(&again).unwrap();
    assert!(again.info(name).is_some());
    assert_eq!(again.metadata().get("modelspec.title").map(String::as_str), Some("mine"));
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_and_files_that_come_meanwhile_are_not_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let link = scratch.path().join("link.safetensors");
    std::os::unix::fs::symlink(scratch.path().join("nowhere"), &link).unwrap();
    let error = convert(fixture("tiny-sd1"), &link, &ConvertOptions::default()).unwrap_err();
    assert!(matches!(error, ConvertError::Exists(_)), "{error}");
    let file = scratch.path().join("file.safetensors");
    fs::write(&file, "mine").unwrap();
    assert!(save_new_file(&file, vec![zero_snr()], &BTreeMap::new()).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_vocabulary_that_cannot_be_read_is_told_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let options =
        ConvertOptions { tokenizer: Some(scratch.path().join("none")), ..Default::default() };
    let error = convert(fixture("single/tiny-sd1.ckpt"), &out, &options).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read ") && error.to_string().contains("vocab.json"),
        "{error}"
    );
}

/// The tiny models have groups, heads and sizes that nobody published.
#[test]
fn configurations_come_back_from_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let plain = ConvertOptions::default();
    for name in ["tiny-sd1", "tiny-sd2"] {
        let model = copied(name, scratch.path());
        let (file, back) = (model.with_extension("safetensors"), model.with_extension("back"));
        convert(&model, &file, &plain).unwrap();
        convert(&file, &back, &plain).unwrap();
        for component in ["unet", "vae", "text_encoder"] {
            let config = |directory: &Path| -> serde_json::Map<String, Value> {
                let path = directory.join(component).join("config.json");
                serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
            };
            let (expected, found) = (config(&model), config(&back));
            let about_the_file = |key: &str| {
                key.starts_with('_')
                    || ["architectures", "dtype", "torch_dtype", "transformers_version"]
                        .contains(&key)
            };
            assert!(expected.len() > 8, "{name} {component}");
            for (key, value) in expected.iter().filter(|(key, _)| !about_the_file(key)) {
                assert_eq!(found.get(key), Some(value), "{name} {component} {key}");
            }
        }
    }
    // Only an object can be part of a configuration.
    let (file, out) = (scratch.path().join("bad.safetensors"), scratch.path().join("out"));
    let metadata = BTreeMap::from([("sd.config.unet".to_owned(), "[1]".to_owned())]);
    let source = open(scratch.path().join("tiny-sd1.safetensors")).unwrap();
    save_new_file(&file, tensors_of(&source).unwrap(), &metadata).unwrap();
    let error = convert(&file, &out, &plain).unwrap_err().to_string();
    assert!(error.contains("sd.config.unet") && error.contains("JSON object"), "{error}");
}
