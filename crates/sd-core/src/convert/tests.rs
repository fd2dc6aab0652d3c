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
