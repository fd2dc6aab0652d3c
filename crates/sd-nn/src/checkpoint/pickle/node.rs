//! The values of a pickle.

use std::sync::Arc;

use safetensors::Dtype;

/// A value's place among all values of its pickle.
pub(crate) type NodeId = u32;

/// A value. Others are referred to by their place, so that values may be shared and may contain each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    /// Bytes; no checkpoint needs what is in them.
    Bytes,
    Tuple(Box<[NodeId]>),
    /// A list or a set.
    List(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    /// The name of a class or function, `module.name`. Nothing else is known of it.
    Global(Arc<str>),
    Storage(Arc<Storage>),
    Tensor(Box<RawTensor>),
    /// An object of this class, or a result of this function, of which nothing is kept but the name.
    Opaque(Arc<str>),
}

/// A row of elements that lies elsewhere in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// By which the file knows it.
    pub(crate) key: Arc<str>,
    pub(crate) dtype: Dtype,
    /// First element, in the row of this key.
    pub(crate) offset: u64,
    /// Number of elements.
    pub(crate) count: u64,
}

/// A tensor as the pickle describes it: unchecked numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawTensor {
    pub(crate) storage: Arc<Storage>,
    /// Differs from the storage's only when that is untyped.
    pub(crate) dtype: Dtype,
    /// First element, in elements of `dtype`.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    /// Elements from one index of a dimension to the next.
    pub(crate) strides: Vec<u64>,
}

impl Node {
    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(_) => "a boolean".into(),
            Self::Int(_) => "an integer".into(),
            Self::Float(_) => "a float".into(),
            Self::Text(_) => "a string".into(),
            Self::Bytes => "bytes".into(),
            Self::Tuple(_) => "a tuple".into(),
            Self::List(_) => "a list".into(),
            Self::Dict(_) => "a dictionary".into(),
            Self::Global(name) => format!("the name `{name}`"),
            Self::Storage(_) => "a storage".into(),
            Self::Tensor(_) => "a tensor".into(),
            Self::Opaque(name) => format!("an object of `{name}`"),
        }
    }
}
