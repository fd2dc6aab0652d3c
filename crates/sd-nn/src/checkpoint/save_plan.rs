//! What a checkpoint to be written consists of: tensors, their order, shards and headers.

use std::{collections::BTreeMap, path::Path};

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::{
    CheckpointError,
    header::{LENGTH_BYTES, METADATA_KEY, byte_len},
};

/// The largest shard by default, as in diffusers: 10 GB.
pub const DEFAULT_MAX_SHARD_BYTES: u64 = 10_000_000_000;

/// How weights are written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Size in bytes of tensors above which the next shard begins.
    pub max_shard_bytes: u64,
    /// Variant in the file names, such as `fp16`.
    pub variant: Option<String>,
    /// Pairs for the header; `format: pt` makes Python libraries accept the file.
    pub metadata: BTreeMap<String, String>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            max_shard_bytes: DEFAULT_MAX_SHARD_BYTES,
            variant: None,
            metadata: BTreeMap::from([("format".into(), "pt".into())]),
        }
    }
}

/// Name, element type and shape of a tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Shape in the file.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    pub(crate) fn byte_len(&self) -> Result<u64, CheckpointError> {
        byte_len(&self.shape, self.dtype).ok_or_else(|| self.wrong_length(u64::MAX, 0))
    }

    pub(crate) fn wrong_length(&self, expected: u64, found: u64) -> CheckpointError {
        let Self { name, dtype, shape } = self.clone();
        CheckpointError::WrongLength { name, shape, dtype, expected, found }
    }
}

pub(crate) fn check_names(path: &Path, tensors: &[TensorSpec]) -> Result<(), CheckpointError> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if names.binary_search(&METADATA_KEY).is_ok() {
        return Err(CheckpointError::InvalidName { name: METADATA_KEY.into() });
    }
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(CheckpointError::DuplicateTensor { path: path.into(), name: pair[0].into() })
        }
        None => Ok(()),
    }
}

/// The order of the reference implementation: wide elements first, so that all are aligned, then by name.
pub(crate) fn sorted(mut tensors: Vec<TensorSpec>) -> Vec<TensorSpec> {
    tensors.sort_by(|left, right| {
        right.dtype.cmp(&left.dtype).then_with(|| left.name.cmp(&right.name))
    });
    tensors
}

/// Tensors in shards of at most `max` bytes; one that is larger has a shard of its own.
pub(crate) fn split(
    tensors: Vec<TensorSpec>,
    max: u64,
) -> Result<Vec<Vec<TensorSpec>>, CheckpointError> {
    let mut shards: Vec<Vec<TensorSpec>> = Vec::new();
    let mut size = 0u64;
    for tensor in tensors {
        let len = tensor.byte_len()?;
        match shards.last_mut() {
            Some(shard) if size.saturating_add(len) <= max => {
                size += len;
                shard.push(tensor);
            }
            _ => {
                size = len;
                shards.push(vec![tensor]);
            }
        }
    }
    Ok(shards)
}

/// The JSON header, padded so that the data begins at a multiple of 8 bytes.
pub(crate) fn header(
    tensors: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, CheckpointError> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA_KEY.into(), json!(metadata));
    }
    let mut offset = 0u64;
    for tensor in tensors {
        let end = offset
            .checked_add(tensor.byte_len()?)
            .ok_or_else(|| tensor.wrong_length(u64::MAX, 0))?;
        let entry = json!({ "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [offset, end] });
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut bytes = Value::Object(header).to_string().into_bytes();
    bytes.resize(bytes.len().next_multiple_of(LENGTH_BYTES), b' ');
    Ok(bytes)
}
