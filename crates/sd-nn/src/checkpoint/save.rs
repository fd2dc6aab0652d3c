//! Writing weights in one go: each tensor's bytes are asked for when it is its turn.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{CheckpointError, CheckpointWriter, FileDtype, SaveOptions, TensorSpec};

/// A tensor to be written. Its bytes are asked for once, when it is its turn.
pub struct TensorToSave<'a> {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: FileDtype,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Gives the row-major little-endian elements.
    pub bytes: TensorBytes<'a>,
}

/// Gives a tensor's bytes when asked.
pub type TensorBytes<'a> = Box<dyn FnOnce() -> Result<Cow<'a, [u8]>, CheckpointError> + 'a>;

impl std::fmt::Debug for TensorToSave<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, dtype, shape, .. } = self;
        f.debug_struct("TensorToSave")
            .field("name", name)
            .field("dtype", dtype)
            .field("shape", shape)
            .finish_non_exhaustive()
    }
}

/// Writes one `.safetensors` file, in place of one that is there; it appears whole or not at all.
///
/// # Errors
/// As [`CheckpointWriter`], and what the tensors say.
pub fn save_file(
    path: impl AsRef<Path>,
    tensors: Vec<TensorToSave<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let writer = CheckpointWriter::create_file(path, specs(&tensors), metadata)?;
    write_all(writer, tensors).map(drop)
}

/// As [`save_file`], but replaces nothing that is there.
///
/// # Errors
/// As [`save_file`], and when something is there.
pub fn save_new_file(
    path: impl AsRef<Path>,
    tensors: Vec<TensorToSave<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let writer = CheckpointWriter::create_file(path, specs(&tensors), metadata)?;
    write_all(writer.replace_nothing(), tensors).map(drop)
}

/// Writes a component's weights into its directory; see [`CheckpointWriter::create`]. Weights of the same stem and variant
/// that are there are replaced once the new ones are whole.
///
/// Returns the file, or the index of the shards.
///
/// # Errors
/// As [`CheckpointWriter`], and what the tensors say.
pub fn save_weights(
    directory: impl AsRef<Path>,
    stem: &str,
    tensors: Vec<TensorToSave<'_>>,
    options: &SaveOptions,
) -> Result<PathBuf, CheckpointError> {
    let writer = CheckpointWriter::create(directory, stem, specs(&tensors), options)?;
    write_all(writer, tensors)
}

fn specs(tensors: &[TensorToSave<'_>]) -> Vec<TensorSpec> {
    let spec = |tensor: &TensorToSave<'_>| TensorSpec {
        name: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
    };
    tensors.iter().map(spec).collect()
}

fn write_all(
    mut writer: CheckpointWriter,
    tensors: Vec<TensorToSave<'_>>,
) -> Result<PathBuf, CheckpointError> {
    for tensor in tensors {
        writer.write(&tensor.name, &(tensor.bytes)()?)?;
    }
    writer.finish()
}
