//! GGUF files, as stable-diffusion.cpp and ComfyUI-GGUF write them.

mod dequantise;
mod header;
mod problem;
mod reader;
mod types;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};
pub use problem::GgufProblem;
use safetensors::Dtype;
pub use types::GgmlType;

use self::header::{Entry, Header};
use super::{
    CheckpointError, ForeignFormat, TensorInfo, WeightSource, convert, mapping::Mapping,
    nearest::nearest,
};

/// A GGUF file of version 2 or 3, mapped into memory and checked as a whole when it is opened.
///
/// Quantised tensors (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K) are given as the floats that they stand for, and
/// [`info`](WeightSource::info) calls them F32. Shapes have their outermost dimension first, as everywhere else and not as in
/// the file; where ComfyUI-GGUF laid a tensor out anew and noted its shape, that shape counts.
///
/// ```no_run
/// use burn::tensor::DType;
/// use sd_nn::checkpoint::{GgufFile, WeightSource};
///
/// let file = GgufFile::open("sd15-q8_0.gguf")?;
/// let weight = file.read("model.diffusion_model.out.2.weight", DType::F32)?;
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    mapping: Mapping,
    header: Header,
    /// In the order of their bytes.
    names: Vec<String>,
}

impl GgufFile {
    /// Opens a file and checks its whole header.
    ///
    /// # Errors
    /// [`CheckpointError`] that names the file and what is wrong with it, or what it seems to be instead.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let mapping = Mapping::open(path)?;
        let header = Header::parse(mapping.bytes()).map_err(|problem| {
            let start = &mapping.bytes()[..mapping.bytes().len().min(512)];
            match ForeignFormat::detect(start).filter(|_| problem == GgufProblem::NoMagic) {
                Some(format) => {
                    CheckpointError::Foreign { path: path.into(), expected: "GGUF", format }
                }
                None => CheckpointError::InvalidGguf { path: path.into(), problem },
            }
        })?;
        let mut names: Vec<String> = header.entries.keys().cloned().collect();
        names.sort_by_key(|name| header.entries.get(name).map(|entry| entry.range.start));
        Ok(Self { path: path.into(), mapping, header, names })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header's numbers and texts, such as `general.architecture`; arrays are left out.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// Names in the order of their bytes.
    pub fn names_in_file_order(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The element type that a tensor has in the file.
    pub fn ggml_type(&self, name: &str) -> Option<GgmlType> {
        Some(self.header.entries.get(name)?.dtype)
    }
}

/// Reads all of a file that is in memory, as opening it and reading its tensors would.
pub(super) fn exercise(file: &[u8]) {
    let Ok(header) = Header::parse(file) else { return };
    for Entry { dtype, shape, range } in header.entries.values() {
        let bytes = &file[range.clone()];
        if let Some(values) = dequantise::dequantise(bytes, *dtype, &mut |_| {}) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
        }
    }
}

impl WeightSource for GgufFile {
    fn origin(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let entry = self.header.entries.get(name)?;
        let dtype = entry.dtype.plain().unwrap_or(Dtype::F32);
        Some(TensorInfo { dtype, shape: entry.shape.clone() })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let Some(Entry { dtype: found, shape, range }) = self.header.entries.get(name) else {
            return Err(CheckpointError::NoSuchTensor {
                origin: self.origin(),
                name: name.into(),
                nearest: nearest(name, self.names_in_file_order()).map(Into::into),
            });
        };
        let bytes = &self.mapping.bytes()[range.clone()];
        let mut release = self.mapping.releaser(range.clone());
        let (plain, decoded) = match found.plain() {
            Some(plain) => (plain, convert::decode(bytes, plain, shape, dtype, &mut release)),
            None => {
                let values =
                    dequantise::dequantise(bytes, *found, &mut release).ok_or_else(|| {
                        CheckpointError::UnsupportedQuantisation {
                            origin: self.origin(),
                            name: name.into(),
                            found: *found,
                        }
                    })?;
                if dtype == DType::F32 {
                    return Ok(TensorData::new(values, shape.clone()));
                }
                let bytes = bytemuck::cast_slice(&values);
                (Dtype::F32, convert::decode(bytes, Dtype::F32, shape, dtype, &mut |_| {}))
            }
        };
        decoded.map_err(|unsupported| unsupported.named(self.origin(), name, plain, dtype))
    }
}
