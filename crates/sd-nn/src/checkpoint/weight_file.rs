//! One file of weights, whatever its format: told by its contents, never by its name.

use std::{collections::BTreeMap, fmt, fs::File, io::Read, path::Path};

use burn::tensor::{DType, TensorData};

use super::{
    CheckpointError, ForeignFormat, GgufFile, MAX_HEADER_BYTES, SafetensorsFile, TensorInfo,
    TorchFile, WeightSource, mapping::regular_file,
};

/// Bytes from the start of a file that tell its format.
const START: u64 = 512;

/// The formats of files of weights that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// `.safetensors`.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6: a zip archive.
    Torch,
    /// What `torch.save` wrote before.
    TorchLegacy,
    /// GGUF.
    Gguf,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy)",
            Self::Gguf => "GGUF",
        })
    }
}

impl FileKind {
    /// The format of a file that starts with these bytes, if it is one that is read.
    pub fn of_start(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"GGUF") {
            return Some(Self::Gguf);
        }
        if let Some((length, [b'{', ..])) = start.split_first_chunk::<8>()
            && u64::from_le_bytes(*length) <= MAX_HEADER_BYTES
        {
            return Some(Self::Safetensors);
        }
        match ForeignFormat::detect(start)? {
            ForeignFormat::Zip => Some(Self::Torch),
            ForeignFormat::Pickle => Some(Self::TorchLegacy),
            _ => None,
        }
    }
}

/// Tells the format of a file from its contents. That it is whole, [`open`] finds out.
///
/// # Errors
/// [`CheckpointError::Foreign`] with what it seems to be, [`CheckpointError::Unrecognised`] when it seems to be nothing, or
/// what the operating system says.
pub fn sniff(path: impl AsRef<Path>) -> Result<FileKind, CheckpointError> {
    let path = path.as_ref();
    regular_file(path)?;
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(START).read_to_end(&mut start))
        .map_err(|source| CheckpointError::io("open", path, source))?;
    if let Some(kind) = FileKind::of_start(&start) {
        return Ok(kind);
    }
    Err(match ForeignFormat::detect(&start) {
        Some(format) => CheckpointError::Foreign { path: path.into(), expected: "weights", format },
        None => {
            start.truncate(16);
            CheckpointError::Unrecognised { path: path.into(), start }
        }
    })
}

/// Opens a file of weights of any format that is read.
///
/// ```no_run
/// use sd_nn::checkpoint::{WeightSource, open};
///
/// for name in open("anything-v3.ckpt")?.names() {
///     println!("{name}");
/// }
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
///
/// # Errors
/// As [`sniff`], or what is wrong with the file.
pub fn open(path: impl AsRef<Path>) -> Result<WeightFile, CheckpointError> {
    let path = path.as_ref();
    let kind = sniff(path)?;
    let file = match kind {
        FileKind::Safetensors => Opened::Safetensors(SafetensorsFile::open(path)?),
        FileKind::Torch | FileKind::TorchLegacy => Opened::Torch(TorchFile::open(path)?),
        FileKind::Gguf => Opened::Gguf(GgufFile::open(path)?),
    };
    Ok(WeightFile { kind, file })
}

/// An open file of weights of any format.
#[derive(Debug)]
pub struct WeightFile {
    kind: FileKind,
    file: Opened,
}

#[derive(Debug)]
enum Opened {
    Safetensors(SafetensorsFile),
    Torch(TorchFile),
    Gguf(GgufFile),
}

impl WeightFile {
    /// Its format.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        match &self.file {
            Opened::Safetensors(file) => file.path(),
            Opened::Torch(file) => file.path(),
            Opened::Gguf(file) => file.path(),
        }
    }

    /// What stands in it beside the tensors, as text.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match &self.file {
            Opened::Safetensors(file) => file.metadata(),
            Opened::Torch(file) => file.metadata(),
            Opened::Gguf(file) => file.metadata(),
        }
    }

    /// The element type of a tensor by the name that its format gives it, such as `F16` or `Q8_0`.
    pub fn dtype_name(&self, name: &str) -> Option<String> {
        match &self.file {
            Opened::Gguf(file) => Some(file.ggml_type(name)?.name().into()),
            _ => Some(format!("{:?}", self.info(name)?.dtype)),
        }
    }

    fn source(&self) -> &dyn WeightSource {
        match &self.file {
            Opened::Safetensors(file) => file,
            Opened::Torch(file) => file,
            Opened::Gguf(file) => file,
        }
    }
}

impl WeightSource for WeightFile {
    fn origin(&self) -> String {
        self.source().origin()
    }

    fn names(&self) -> Vec<String> {
        self.source().names()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.source().info(name)
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        self.source().read(name, dtype)
    }
}
