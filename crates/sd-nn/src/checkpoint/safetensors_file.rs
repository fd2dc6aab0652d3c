//! One memory-mapped `.safetensors` file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};
use safetensors::Dtype;

use super::{
    CheckpointError, ForeignFormat, TensorInfo, WeightSource,
    convert::{self, Unsupported},
    header::{Entry, Header},
    mapping::Mapping,
    nearest::nearest,
};

/// A `.safetensors` file, mapped into memory and checked as a whole when it is opened.
///
/// Reading a tensor gives the file's pages back as it proceeds, so that loading a model takes the memory of the model and
/// not of its file besides. The file must not be changed by others while this exists; replacing it by renaming is fine.
///
/// ```no_run
/// use burn::tensor::DType;
/// use sd_nn::checkpoint::{SafetensorsFile, WeightSource};
///
/// let file = SafetensorsFile::open("unet/diffusion_pytorch_model.safetensors")?;
/// let weight = file.read("conv_in.weight", DType::F32)?;
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    mapping: Mapping,
    header: Header,
}

/// One tensor of a file, its bytes borrowed from the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorView<'a> {
    /// Element type in the file.
    pub dtype: Dtype,
    /// Shape in the file.
    pub shape: &'a [usize],
    /// Row-major little-endian elements, not necessarily aligned.
    pub bytes: &'a [u8],
}

impl SafetensorsFile {
    /// Opens a file and checks its whole header: JSON, names, dtypes, shapes, and offsets that cover the data exactly.
    ///
    /// # Errors
    /// [`CheckpointError`] that names the file and what is wrong with it, or what it seems to be instead.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let mapping = Mapping::open(path)?;
        let header = Header::parse(mapping.bytes()).map_err(|problem| {
            let start = &mapping.bytes()[..mapping.bytes().len().min(512)];
            match ForeignFormat::detect(start).filter(|_| problem.suggests_foreign()) {
                Some(format) => {
                    CheckpointError::Foreign { path: path.into(), expected: "safetensors", format }
                }
                None => CheckpointError::InvalidHeader { path: path.into(), problem },
            }
        })?;
        Ok(Self { path: path.into(), mapping, header })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header's free-form pairs, such as `format: pt`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// Names in the order of their bytes.
    pub fn names_in_file_order(&self) -> impl ExactSizeIterator<Item = &str> {
        self.header.entries.iter().map(|entry| entry.name.as_str())
    }

    /// A tensor's dtype, shape and bytes, without reading them.
    ///
    /// # Errors
    /// [`CheckpointError::NoSuchTensor`].
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let entry = self.entry(name)?;
        Ok(TensorView {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &self.mapping.bytes()[entry.range.clone()],
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry, CheckpointError> {
        let entry =
            self.header.index.get(name).and_then(|&position| self.header.entries.get(position));
        entry.ok_or_else(|| CheckpointError::NoSuchTensor {
            origin: self.origin(),
            name: name.into(),
            nearest: nearest(name, self.names_in_file_order()).map(Into::into),
        })
    }
}

impl WeightSource for SafetensorsFile {
    fn origin(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> Vec<String> {
        self.names_in_file_order().map(Into::into).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let entry = self.header.entries.get(*self.header.index.get(name)?)?;
        Some(TensorInfo { dtype: entry.dtype, shape: entry.shape.clone() })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let entry = self.entry(name)?;
        let mut release = self.mapping.releaser(entry.range.clone());
        let bytes = &self.mapping.bytes()[entry.range.clone()];
        convert::decode(bytes, entry.dtype, &entry.shape, dtype, &mut release)
            .map_err(|unsupported| unsupported.named(self.origin(), name, entry.dtype, dtype))
    }
}

impl Unsupported {
    pub(crate) fn named(
        self,
        origin: String,
        name: &str,
        found: Dtype,
        asked: DType,
    ) -> CheckpointError {
        let name = name.into();
        match self {
            Self::Source => CheckpointError::UnsupportedDtype { origin, name, found },
            Self::Target => CheckpointError::UnsupportedTarget { origin, name, asked },
        }
    }
}
