//! PyTorch files: `.ckpt`, `.bin`, `.pt`, `.pth`, as `torch.save` writes and wrote them.

mod archive;
mod legacy;
mod problem;
mod storages;
mod strided;
mod tensors;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};

pub use problem::TorchProblem;

use self::{
    storages::Storages,
    tensors::{Entry, Found},
};
use super::{
    CheckpointError, ForeignFormat, TensorInfo, WeightSource, convert, mapping::Mapping,
    nearest::nearest, pickle,
};

/// Longest pickle, in bytes. The largest of known checkpoints, with the state of its optimiser, takes some megabytes.
const MAX_PICKLE_BYTES: usize = 1 << 27;

/// A PyTorch file of either form, mapped into memory and checked when it is opened. Nothing in it is executed.
///
/// The tensors are those of the dictionary under `state_dict`, `model` or `module`, or else of the outermost dictionary;
/// names of dictionaries inside it are joined by dots. Views (slices, transposed or shared tensors) are read as their
/// elements in row-major order. As with [`SafetensorsFile`](super::SafetensorsFile), pages are given back as they are read.
///
/// What stands beside the weights is not looked at, and what Python would have to be called for is refused by name, unless it
/// is among the objects that trainers leave in their checkpoints (callbacks and settings of PyTorch Lightning, OmegaConf,
/// NumPy scalars): of these nothing is kept, and where one stands among the weights it is an error.
///
/// ```no_run
/// use burn::tensor::DType;
/// use sd_nn::checkpoint::{TorchFile, WeightSource};
///
/// let file = TorchFile::open("v1-5-pruned.ckpt")?;
/// let weight = file.read("first_stage_model.encoder.conv_in.weight", DType::F32)?;
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    mapping: Mapping,
    found: Found,
    /// In the order of their bytes.
    names: Vec<String>,
}

/// The pickle of a file, and where its storages lie.
#[derive(Debug)]
struct Contents<'a> {
    pickle: &'a [u8],
    storages: Storages,
}

impl TorchFile {
    /// Opens a file, reads its description of the tensors and checks where each lies.
    ///
    /// # Errors
    /// [`CheckpointError`] that names the file and what is wrong with it, or what it seems to be instead.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let mapping = Mapping::open(path)?;
        let found = find(mapping.bytes()).map_err(|problem| {
            let start = &mapping.bytes()[..mapping.bytes().len().min(512)];
            let is_torch = [Some(ForeignFormat::Zip), Some(ForeignFormat::Pickle), None];
            match ForeignFormat::detect(start) {
                format if is_torch.contains(&format) => {
                    CheckpointError::InvalidTorch { path: path.into(), problem }
                }
                Some(format) => {
                    CheckpointError::Foreign { path: path.into(), expected: "PyTorch", format }
                }
                None => CheckpointError::InvalidTorch { path: path.into(), problem },
            }
        })?;
        let mut names: Vec<String> = found.tensors.keys().cloned().collect();
        names.sort_by_key(|name| {
            found.tensors.get(name).map(|entry| (entry.storage.start, entry.view.offset))
        });
        Ok(Self { path: path.into(), mapping, found, names })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers and strings that stand beside the weights, such as `epoch` and `global_step`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.found.metadata
    }

    /// Names in the order of their bytes.
    pub fn names_in_file_order(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn entry(&self, name: &str) -> Result<&Entry, CheckpointError> {
        self.found.tensors.get(name).ok_or_else(|| CheckpointError::NoSuchTensor {
            origin: self.origin(),
            name: name.into(),
            nearest: nearest(name, self.names_in_file_order()).map(Into::into),
        })
    }
}

fn find(file: &[u8]) -> Result<Found, TorchProblem> {
    let contents = match file.starts_with(b"PK") {
        true => archive::open(file)?,
        false => legacy::open(file)?,
    };
    if contents.pickle.len() > MAX_PICKLE_BYTES {
        let (found, limit) = (contents.pickle.len() as u64, MAX_PICKLE_BYTES as u64);
        return Err(TorchProblem::TooLarge { what: "its pickle".into(), found, limit });
    }
    tensors::find(&pickle::load(contents.pickle)?, &contents.storages)
}

/// Reads all of a file that is in memory, as opening it and reading its tensors would.
pub(super) fn exercise(file: &[u8]) {
    let Ok(found) = find(file) else { return };
    for Entry { dtype, view, storage } in found.tensors.values() {
        let size = dtype.bitsize() / 8;
        let range = view.byte_range(size);
        let bytes = &file[storage.start + range.start..storage.start + range.end];
        assert_eq!(view.gather(bytes, size).len(), view.count * size);
    }
}

impl WeightSource for TorchFile {
    fn origin(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let entry = self.found.tensors.get(name)?;
        Some(TensorInfo { dtype: entry.dtype, shape: entry.view.shape.clone() })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let Entry { dtype: found, view, storage } = self.entry(name)?;
        let size = found.bitsize() / 8;
        let range = view.byte_range(size);
        let range = storage.start + range.start..storage.start + range.end;
        let bytes = &self.mapping.bytes()[range.clone()];
        let failed = |unsupported: convert::Unsupported| {
            unsupported.named(self.origin(), name, *found, dtype)
        };
        if view.is_contiguous() {
            let mut release = self.mapping.releaser(range);
            return convert::decode(bytes, *found, &view.shape, dtype, &mut release)
                .map_err(failed);
        }
        let gathered = view.gather(bytes, size);
        self.mapping.release(range);
        convert::decode(&gathered, *found, &view.shape, dtype, &mut |_| {}).map_err(failed)
    }
}
