//! Whole files: valid ones in every dtype, and what strangers might send.

mod corruption;
mod files;
mod ggufs;
mod loading;
mod modules;
mod parameters;
mod pickles;
mod replacing;
mod saving;
mod sharding;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use safetensors::Dtype;
use tempfile::TempDir;

use super::{CheckpointError, HeaderProblem, SafetensorsFile, TensorToSave};

/// A file of these bytes in a directory of its own.
struct Scratch {
    directory: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, bytes: &[u8]) -> Result<SafetensorsFile, CheckpointError> {
        SafetensorsFile::open(self.write("file.safetensors", bytes))
    }

    /// What is wrong with the header of these bytes.
    fn problem(&self, bytes: &[u8]) -> HeaderProblem {
        match self.open(bytes) {
            Err(CheckpointError::InvalidHeader { problem, .. }) => problem,
            other => panic!("expected a header problem, found {other:?}"),
        }
    }
}

/// The bytes of a file with this header and `data` bytes of data.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.extend((0..data).map(|i| i as u8));
    bytes
}

/// One tensor's entry in a header.
fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

/// A tensor to save whose bytes are known.
fn tensor<'a>(name: &str, dtype: Dtype, shape: &[usize], bytes: &'a [u8]) -> TensorToSave<'a> {
    TensorToSave {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
        bytes: Box::new(move || Ok(Cow::Borrowed(bytes))),
    }
}
