//! Whole models in one file, against diffusers' own conversion of the same names.

mod averages;
mod contents;
mod families;
mod names;
mod structure;
mod tensors;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    sync::Arc,
};

use burn::tensor::{DType, TensorData};
use flate2::read::GzDecoder;
use sd_nn::checkpoint::{
    CheckpointError, FileContents, FileDtype, MemorySource, ModelFamily, Prediction,
    SafetensorsFile, SingleFile, SingleFileOptions, SingleFileView, TensorInfo, WeightSource, open,
    open_weights, tensors_of,
};
use serde_json::Value;

use crate::case::fixture;

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

/// A model of full size: its family's name, configurations, and rows `[file name, part, diffusers name, file's shape]`.
struct Listed {
    family: String,
    configs: Value,
    rows: Value,
}

fn listed() -> Vec<Listed> {
    let file = GzDecoder::new(File::open(fixture("single/keys.jsonl.gz")).unwrap());
    let lines = BufReader::new(file).lines();
    lines
        .map(|line| {
            let mut line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            Listed {
                family: line["family"].as_str().unwrap().into(),
                configs: line["configs"].take(),
                rows: line["rows"].take(),
            }
        })
        .collect()
}

impl Listed {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let rows =
            self.rows.as_object().unwrap().values().flat_map(|rows| rows.as_array().unwrap());
        rows.map(|row| {
            let shape =
                row[3].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize);
            (row[0].as_str().unwrap().to_owned(), shape.collect())
        })
        .collect()
    }
}

fn single(shapes: BTreeMap<String, Vec<usize>>, options: &SingleFileOptions) -> SingleFile {
    SingleFile::new(Arc::new(Shapes(shapes)), &BTreeMap::new(), options).unwrap()
}
