//! What can go wrong with a checkpoint file, told by name, expectation and finding.

use std::{io, path::PathBuf};

use burn::tensor::DType;
use safetensors::Dtype;

use super::{
    FileContents, ForeignFormat, GgmlType, GgufProblem, HeaderProblem, IndexProblem, LoadReport,
    TorchProblem,
};

/// Why weights could not be found, read, loaded or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is no such file.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// A directory stands where a file was expected.
    #[error("{} is a directory, expected a file of weights", path.display())]
    IsDirectory {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: "open", "map", "write", …
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
    /// A file of no bytes.
    #[error("{} is empty, expected a file of weights (an interrupted download?)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, whatever its name says.
    #[error("{} is not a {expected} file: it looks like {format}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        expected: &'static str,
        /// What it seems to be.
        format: ForeignFormat,
    },
    /// The file is nothing that is known.
    #[error(
        "{} is not a file of weights that is known (safetensors, PyTorch or GGUF): it starts with {start:02x?}",
        path.display()
    )]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// Its first bytes, 16 at most.
        start: Vec<u8>,
    },
    /// A safetensors header that contradicts itself or its file.
    #[error("{} is not a valid safetensors file: {problem}", path.display())]
    InvalidHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// A PyTorch file that is broken, or that asks for what is not done.
    #[error("{} is not a PyTorch file that can be read: {problem}", path.display())]
    InvalidTorch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: TorchProblem,
    },
    /// A GGUF file that contradicts itself or its format.
    #[error("{} is not a valid GGUF file: {problem}", path.display())]
    InvalidGguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: GgufProblem,
    },
    /// A quantised tensor of a type that is not read.
    #[error(
        "{origin}: tensor `{name}` is quantised as {found}, expected Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K"
    )]
    UnsupportedQuantisation {
        /// Where the tensor lies.
        origin: String,
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: GgmlType,
    },
    /// The index of a sharded checkpoint is wrong, or disagrees with its shards.
    #[error("{}: {problem}", path.display())]
    InvalidIndex {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        problem: IndexProblem,
    },
    /// A tensor that the source does not have.
    #[error("{origin} has no tensor `{name}`{}", nearest.as_ref().map(|n| format!(", nearest is `{n}`")).unwrap_or_default())]
    NoSuchTensor {
        /// Where it was looked for.
        origin: String,
        /// The tensor asked for.
        name: String,
        /// The most similar name there.
        nearest: Option<String>,
    },
    /// A tensor whose element type is known to the format but not to this crate.
    #[error(
        "{origin}: tensor `{name}` has dtype {found}, expected F16, BF16, F32, F64, an integer type or BOOL"
    )]
    UnsupportedDtype {
        /// Where the tensor lies.
        origin: String,
        /// The tensor.
        name: String,
        /// Its dtype in the file.
        found: Dtype,
    },
    /// A dtype was asked for into which weights cannot be read, or from which they cannot be written.
    #[error(
        "{origin}: tensor `{name}` cannot have dtype {asked:?}, expected F16, BF16, F32 or F64"
    )]
    UnsupportedTarget {
        /// Where the tensor lies.
        origin: String,
        /// The tensor.
        name: String,
        /// The dtype asked for.
        asked: DType,
    },
    /// A directory holds weights, but under names that no component's weights have.
    #[error(
        "{} holds weights only under other names ({}) than those looked for, such as {}",
        directory.display(), files.join(", "), looked_for.first().map(String::as_str).unwrap_or_default()
    )]
    OtherNames {
        /// The component's directory.
        directory: PathBuf,
        /// The files in it that look like weights.
        files: Vec<String>,
        /// The file names that would have done.
        looked_for: Vec<String>,
    },
    /// A directory without weights.
    #[error("{} holds no weights, looked for {}", directory.display(), looked_for.join(", "))]
    NoWeights {
        /// The component's directory.
        directory: PathBuf,
        /// The file names that would have done.
        looked_for: Vec<String>,
    },
    /// Several variants and no plain file, so that a choice has to be made by the user.
    #[error("{} holds several variants ({}) and no plain weights, ask for one of them", directory.display(), variants.join(", "))]
    AmbiguousVariant {
        /// The component's directory.
        directory: PathBuf,
        /// The variants in it.
        variants: Vec<String>,
    },
    /// The checkpoint does not fit the model.
    #[error("{origin} does not fit the model: {report}")]
    Incompatible {
        /// Where the weights come from.
        origin: String,
        /// What is missing or of another shape.
        report: Box<LoadReport>,
    },
    /// The file holds something else than a model.
    #[error("{origin} holds {contents}")]
    NotAModel {
        /// The file.
        origin: String,
        /// What it holds.
        contents: FileContents,
    },
    /// A tensor of a single file that diffusers' model has no place for.
    #[error("{origin}: tensor `{key}` is none that the {component} of a Stable Diffusion has")]
    NoPlace {
        /// The file.
        origin: String,
        /// The tensor.
        key: String,
        /// The model it would belong to.
        component: &'static str,
    },
    /// A U-Net of a single file whose layers no configuration that is written describes.
    #[error("{origin}: no configuration is known for its U-Net, in which {found}")]
    UnknownStructure {
        /// The file.
        origin: String,
        /// What is unusual.
        found: String,
    },
    /// What the header of a single file notes of a configuration is no JSON object.
    #[error("{origin}: `{key}` in its header is no JSON object: {message}")]
    InvalidNote {
        /// The file.
        origin: String,
        /// The key of the header.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A tensor of a single file whose shape is not what its name says.
    #[error("{origin}: tensor `{key}` of shape {found:?} cannot be or contain parameter `{path}`")]
    NotAPart {
        /// The file.
        origin: String,
        /// The tensor.
        key: String,
        /// Its shape; empty when it is not there.
        found: Vec<usize>,
        /// What it should be.
        path: String,
    },
    /// Two keys of a file stand for one parameter.
    #[error("{origin}: keys `{first}` and `{second}` both stand for parameter `{path}`")]
    KeyCollision {
        /// Where the weights come from.
        origin: String,
        /// The parameter's path.
        path: String,
        /// One key.
        first: String,
        /// The other.
        second: String,
    },
    /// Values that are not as long as their shape and dtype say.
    #[error(
        "tensor `{name}` of shape {shape:?} and dtype {dtype} takes {expected} bytes, found {found}"
    )]
    WrongLength {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its dtype.
        dtype: Dtype,
        /// Bytes that shape and dtype ask for.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// A source gave something else than the tensor that it was asked for.
    #[error(
        "{origin}: reading tensor `{name}` gave {found_bytes} bytes of {found:?}, expected {expected_bytes} bytes of \
         {expected}"
    )]
    ReadMismatch {
        /// Where the tensor lies.
        origin: String,
        /// The tensor.
        name: String,
        /// The dtype asked for.
        expected: Dtype,
        /// Bytes that it and the parameter's shape take.
        expected_bytes: u64,
        /// The dtype given.
        found: DType,
        /// Bytes given.
        found_bytes: u64,
    },
    /// The backend does not have the dtype in which weights are to be loaded.
    #[error(
        "{origin} cannot be loaded as {asked:?}: on this device the backend {backend} has weights in {supported:?} only"
    )]
    UnsupportedByBackend {
        /// Where the weights come from.
        origin: String,
        /// The dtype asked for.
        asked: DType,
        /// The backend's name.
        backend: String,
        /// What it has.
        supported: Vec<DType>,
    },
    /// Weights were saved, but older ones in the same directory could not be removed and would be loaded in their place.
    #[error(
        "cannot remove {}, which would be loaded in place of the weights just saved in {}: {source}",
        path.display(), saved.display()
    )]
    Shadowed {
        /// The file of an earlier save.
        path: PathBuf,
        /// The new file, or the new index.
        saved: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
    /// A name was given twice for saving.
    #[error("{}: two tensors are named `{name}`", path.display())]
    DuplicateTensor {
        /// The file to be written.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A checkpoint was to be finished before all its tensors were written.
    #[error("{}: {} tensors were not written, first `{}`", path.display(), names.len(), names.first().map(String::as_str).unwrap_or_default())]
    Unwritten {
        /// The file, or the index.
        path: PathBuf,
        /// The tensors that lack, sorted.
        names: Vec<String>,
    },
    /// A parameter's tensor in the file is not of a float type that is read.
    #[error("{origin}: parameter `{name}` has dtype {found}, expected F16, BF16, F32 or F64")]
    NotFloat {
        /// Where the tensor lies.
        origin: String,
        /// The tensor.
        name: String,
        /// Its dtype in the file.
        found: Dtype,
    },
    /// The backend could not give a tensor's values.
    #[error("cannot read parameter `{name}` from its device: {message}")]
    Device {
        /// The parameter's path.
        name: String,
        /// The backend's own words.
        message: String,
    },
    /// A stem, variant or tensor to save under a name that it cannot have.
    #[error("`{name}` cannot be the name of a file or tensor to save")]
    InvalidName {
        /// The name.
        name: String,
    },
}

impl CheckpointError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::NotFound && action == "open" {
            return Self::NotFound { path };
        }
        Self::Io { action, path, source }
    }
}
