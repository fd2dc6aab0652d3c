//! Where weights come from: a file, several files, memory, and views of these under other names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use burn::tensor::{DType, TensorData};
use safetensors::Dtype;

use super::{CheckpointError, KeyTable, convert, header::byte_len, nearest::nearest};

/// Element type and shape of a tensor in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: Dtype,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
}

/// Named tensors that can be read one by one.
pub trait WeightSource: Send + Sync {
    /// Where the tensors come from, for messages.
    fn origin(&self) -> String;

    /// Every name, in an order in which reading is fast.
    fn names(&self) -> Vec<String>;

    /// Element type and shape, without reading the tensor.
    fn info(&self, name: &str) -> Option<TensorInfo>;

    /// Reads a tensor: floats as `dtype` (F16, BF16, F32 or F64), integers and booleans as they are; in the shape that
    /// [`info`](Self::info) tells. [`load_module`](super::load_module) refuses anything else.
    ///
    /// # Errors
    /// [`CheckpointError`]: no such tensor, or a dtype that cannot be read or given.
    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError>;
}

macro_rules! forward_source {
    ($($pointer:ty),*) => {$(
        impl<S: WeightSource + ?Sized> WeightSource for $pointer {
            fn origin(&self) -> String {
                (**self).origin()
            }
            fn names(&self) -> Vec<String> {
                (**self).names()
            }
            fn info(&self, name: &str) -> Option<TensorInfo> {
                (**self).info(name)
            }
            fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
                (**self).read(name, dtype)
            }
        }
    )*};
}

forward_source!(&S, Box<S>, Arc<S>);

/// Tensors in memory, for tests and for models that are built by hand.
#[derive(Debug, Clone)]
pub struct MemorySource {
    origin: String,
    tensors: BTreeMap<String, (Dtype, TensorData)>,
}

impl MemorySource {
    /// An empty source; `origin` stands in messages.
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), tensors: BTreeMap::new() }
    }

    /// Adds a tensor, in place of one of the same name.
    ///
    /// # Errors
    /// [`CheckpointError::UnsupportedTarget`] for a quantized dtype, [`CheckpointError::WrongLength`] when shape and bytes
    /// disagree.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        data: TensorData,
    ) -> Result<(), CheckpointError> {
        let name = name.into();
        let Some(dtype) = convert::file_dtype(data.dtype) else {
            return Err(CheckpointError::UnsupportedTarget {
                origin: self.origin.clone(),
                name,
                asked: data.dtype,
            });
        };
        let shape = data.shape.to_vec();
        let (expected, found) =
            (byte_len(&shape, dtype).unwrap_or(u64::MAX), data.bytes.len() as u64);
        if expected != found {
            return Err(CheckpointError::WrongLength { name, shape, dtype, expected, found });
        }
        self.tensors.insert(name, (dtype, data));
        Ok(())
    }
}

impl WeightSource for MemorySource {
    fn origin(&self) -> String {
        self.origin.clone()
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let (dtype, data) = self.tensors.get(name)?;
        Some(TensorInfo { dtype: *dtype, shape: data.shape.to_vec() })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let Some((found, data)) = self.tensors.get(name) else {
            return Err(no_such_tensor(self, name));
        };
        convert::decode(&data.bytes, *found, data.shape.as_slice(), dtype, &mut |_| {})
            .map_err(|unsupported| unsupported.named(self.origin(), name, *found, dtype))
    }
}

/// A source with a prefix taken off its names, or put before them.
#[derive(Debug, Clone)]
pub struct Prefixed<S> {
    inner: S,
    prefix: String,
    action: PrefixAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrefixAction {
    Strip,
    Add,
}

impl<S: WeightSource> Prefixed<S> {
    /// Shows only the tensors whose names start with `prefix`, without it: `vae.` of a single-file checkpoint.
    pub fn strip(inner: S, prefix: impl Into<String>) -> Self {
        Self { inner, prefix: prefix.into(), action: PrefixAction::Strip }
    }

    /// Shows every tensor with `prefix` before its name.
    pub fn add(inner: S, prefix: impl Into<String>) -> Self {
        Self { inner, prefix: prefix.into(), action: PrefixAction::Add }
    }

    /// The inner source's name for `name`.
    fn inner_name(&self, name: &str) -> Option<String> {
        match self.action {
            PrefixAction::Strip => Some(format!("{}{name}", self.prefix)),
            PrefixAction::Add => name.strip_prefix(&self.prefix).map(Into::into),
        }
    }
}

impl<S: WeightSource> WeightSource for Prefixed<S> {
    fn origin(&self) -> String {
        match self.action {
            PrefixAction::Strip => format!("{} (`{}*`)", self.inner.origin(), self.prefix),
            PrefixAction::Add => self.inner.origin(),
        }
    }

    fn names(&self) -> Vec<String> {
        let names = self.inner.names().into_iter();
        match self.action {
            PrefixAction::Strip => {
                names.filter_map(|name| name.strip_prefix(&self.prefix).map(Into::into)).collect()
            }
            PrefixAction::Add => names.map(|name| format!("{}{name}", self.prefix)).collect(),
        }
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.inner.info(&self.inner_name(name)?)
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        match self.inner_name(name) {
            Some(inner) => self.inner.read(&inner, dtype),
            None => Err(no_such_tensor(self, name)),
        }
    }
}

/// A source under the names that a key table gives: module paths in place of file keys. Ignored keys are hidden.
#[derive(Debug, Clone)]
pub struct Renamed<S> {
    inner: S,
    /// In the inner source's order.
    paths: Vec<String>,
    keys: HashMap<String, String>,
}

impl<S: WeightSource> Renamed<S> {
    /// Renames every tensor of `inner`.
    ///
    /// # Errors
    /// [`CheckpointError::KeyCollision`] when two keys stand for one path.
    pub fn new(inner: S, table: &KeyTable) -> Result<Self, CheckpointError> {
        let mut paths = Vec::new();
        let mut keys: HashMap<String, String> = HashMap::new();
        for key in inner.names() {
            let Some(path) = table.to_module(&key) else { continue };
            if let Some(first) = keys.get(&path) {
                let first = first.clone();
                return Err(CheckpointError::KeyCollision {
                    origin: inner.origin(),
                    path,
                    first,
                    second: key,
                });
            }
            paths.push(path.clone());
            keys.insert(path, key);
        }
        Ok(Self { inner, paths, keys })
    }

    /// The inner source's key for a path.
    pub fn key(&self, path: &str) -> Option<&str> {
        self.keys.get(path).map(String::as_str)
    }
}

impl<S: WeightSource> WeightSource for Renamed<S> {
    fn origin(&self) -> String {
        self.inner.origin()
    }

    fn names(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.inner.info(self.key(name)?)
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        match self.key(name) {
            Some(key) => self.inner.read(key, dtype),
            None => Err(no_such_tensor(self, name)),
        }
    }
}

pub(super) fn no_such_tensor(source: &dyn WeightSource, name: &str) -> CheckpointError {
    let names = source.names();
    let nearest = nearest(name, names.iter().map(String::as_str)).map(Into::into);
    CheckpointError::NoSuchTensor { origin: source.origin(), name: name.into(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::KeyRule;

    fn source() -> MemorySource {
        let mut source = MemorySource::new("memory");
        source.insert("vae.conv.weight", TensorData::new(vec![1f32, 2.0], [2])).unwrap();
        source.insert("unet.conv.weight", TensorData::new(vec![3f32], [1])).unwrap();
        source
    }

    #[test]
    fn memory_reads_in_any_float() {
        let data = source().read("vae.conv.weight", DType::F64).unwrap();
        assert_eq!(data.to_vec::<f64>().unwrap(), [1.0, 2.0]);
        let error = source().read("vae.conv.weigth", DType::F32).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory has no tensor `vae.conv.weigth`, nearest is `vae.conv.weight`"
        );
        let wrong = TensorData::from_bytes_vec(vec![0; 5], [2], DType::F32);
        assert!(matches!(
            source().insert("x", wrong),
            Err(CheckpointError::WrongLength { expected: 8, found: 5, .. })
        ));
    }

    #[test]
    fn prefixes_come_and_go() {
        let stripped = Prefixed::strip(source(), "vae.");
        assert_eq!(stripped.names(), ["conv.weight"]);
        assert_eq!(stripped.info("conv.weight").unwrap().shape, [2]);
        assert_eq!(
            stripped.read("conv.weight", DType::F32).unwrap().to_vec::<f32>().unwrap(),
            [1.0, 2.0]
        );
        let back = Prefixed::add(stripped, "first_stage_model.");
        assert_eq!(back.names(), ["first_stage_model.conv.weight"]);
        assert!(back.info("conv.weight").is_none());
        assert!(back.read("conv.weight", DType::F32).is_err());
        assert!(back.read("first_stage_model.conv.weight", DType::F32).is_ok());
    }

    #[test]
    fn renaming_goes_through_a_table_and_refuses_collisions() {
        let table = KeyTable::new([KeyRule::new("unet.**", "denoiser.**")]).ignore("vae.**");
        let renamed = Renamed::new(source(), &table).unwrap();
        assert_eq!(renamed.names(), ["denoiser.conv.weight"]);
        assert_eq!(
            renamed.read("denoiser.conv.weight", DType::F32).unwrap().to_vec::<f32>().unwrap(),
            [3.0]
        );
        assert!(renamed.read("unet.conv.weight", DType::F32).is_err());
        let table = KeyTable::new([KeyRule::new("unet.**", "vae.**")]);
        let error = Renamed::new(source(), &table).unwrap_err();
        assert!(
            matches!(error, CheckpointError::KeyCollision { path, .. } if path == "vae.conv.weight")
        );
    }
}
