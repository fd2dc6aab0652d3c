//! One model of a single file, seen as diffusers has it.

use std::{collections::HashMap, sync::Arc};

use burn::tensor::{DType, TensorData};
use serde_json::Value;

use super::{
    super::{CheckpointError, TensorInfo, WeightSource, nearest::nearest},
    piece::{Part, Piece},
};

/// One model of a single file: its configuration, and its weights under the names of diffusers.
///
/// It is a [`WeightSource`] of its own, which reads from the file that it shares with the others.
#[derive(Clone)]
pub struct Component {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) config: Value,
    pub(super) file: Arc<dyn WeightSource>,
    /// In the file's order.
    pub(super) names: Vec<String>,
    pub(super) pieces: HashMap<String, Piece>,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, class, config, names, .. } = self;
        f.debug_struct("Component")
            .field("name", name)
            .field("class", class)
            .field("config", config)
            .field("tensors", &names.len())
            .finish_non_exhaustive()
    }
}

impl Component {
    /// The name of its directory in diffusers' layout, such as `unet`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its class in diffusers or transformers.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// Its configuration, as `config.json` has it.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The file's name of the tensor that a tensor is, or of which it is a part.
    pub fn key(&self, name: &str) -> Option<&str> {
        Some(self.pieces.get(name)?.key.as_str())
    }

    /// Tensors as they are found; shapes are checked.
    pub(super) fn new(
        (name, class): (&'static str, &'static str),
        file: Arc<dyn WeightSource>,
        pieces: Vec<(String, Piece)>,
    ) -> Result<Self, CheckpointError> {
        let mut component = Self {
            name,
            class,
            config: Value::Null,
            file,
            names: Vec::with_capacity(pieces.len()),
            pieces: HashMap::with_capacity(pieces.len()),
        };
        for (path, piece) in pieces {
            let Some(TensorInfo { shape: whole, .. }) = component.file.info(&piece.key) else {
                let origin = component.file.origin();
                return Err(CheckpointError::NoSuchTensor {
                    origin,
                    name: piece.key,
                    nearest: None,
                });
            };
            if piece.part.shape(&whole).is_none() {
                return Err(CheckpointError::NotAPart {
                    origin: component.file.origin(),
                    key: piece.key,
                    found: whole,
                    path,
                });
            }
            let second = piece.key.clone();
            if let Some(first) = component.pieces.insert(path.clone(), piece) {
                let origin = component.file.origin();
                return Err(CheckpointError::KeyCollision {
                    origin,
                    path,
                    first: first.key,
                    second,
                });
            }
            component.names.push(path);
        }
        Ok(component)
    }

    /// The size of a dimension of a tensor.
    pub(super) fn size(&self, name: &str, dimension: usize) -> Option<usize> {
        self.info(name)?.shape.get(dimension).copied()
    }
}

impl WeightSource for Component {
    fn origin(&self) -> String {
        format!("{} ({})", self.file.origin(), self.name)
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let Piece { key, part } = self.pieces.get(name)?;
        let info = self.file.info(key)?;
        Some(TensorInfo { dtype: info.dtype, shape: part.shape(&info.shape)? })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let (Some(Piece { key, part }), Some(info)) = (self.pieces.get(name), self.info(name))
        else {
            return Err(CheckpointError::NoSuchTensor {
                origin: self.origin(),
                name: name.into(),
                nearest: nearest(name, self.names.iter().map(String::as_str)).map(Into::into),
            });
        };
        let data = self.file.read(key, dtype)?;
        if *part == Part::Whole {
            return Ok(data);
        }
        check_length(&*self.file, key, &data)?;
        Ok(part.take(data, info.shape))
    }
}

/// Sources are of anyone's making: parts are taken of what is as long as it should be.
pub(super) fn check_length(
    source: &dyn WeightSource,
    name: &str,
    data: &TensorData,
) -> Result<(), CheckpointError> {
    let Some(TensorInfo { dtype: expected, shape }) = source.info(name) else { return Ok(()) };
    let elements = shape.iter().product::<usize>();
    let (expected_bytes, found_bytes) = (elements * data.dtype.size(), data.bytes.len());
    if expected_bytes == found_bytes {
        return Ok(());
    }
    Err(CheckpointError::ReadMismatch {
        origin: source.origin(),
        name: name.into(),
        expected,
        expected_bytes: expected_bytes as u64,
        found: data.dtype,
        found_bytes: found_bytes as u64,
    })
}
