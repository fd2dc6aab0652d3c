//! The tensors of a file by their names, from the dictionaries that hold them.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use safetensors::Dtype;

use super::{TorchProblem, storages::Storages, strided::View};
use crate::checkpoint::pickle::{Node, NodeId, Pickle, RawTensor};

/// Keys under which trainers put the weights, in the order in which they are looked for.
const WRAPPERS: [&str; 3] = ["state_dict", "model", "module"];

/// Wrappers in wrappers.
const MAX_WRAPPERS: usize = 4;

/// Dictionaries in dictionaries.
const MAX_DEPTH: usize = 8;

/// Entries of all dictionaries that are looked at.
const MAX_ENTRIES: usize = 1 << 18;

/// Longest name, in bytes.
const MAX_NAME: usize = 1024;

/// Bytes of all names: dictionaries in dictionaries make long ones of short ones. Those of XL with its optimiser take some
/// hundred thousand.
const MAX_NAMES: usize = 1 << 24;

/// Bytes of all numbers and strings beside the weights, with their names.
const MAX_METADATA: usize = 1 << 20;

/// A tensor and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) view: View,
    /// The storage, in bytes of the file.
    pub(super) storage: Range<usize>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tensors: BTreeMap<String, Entry>,
    /// Numbers and strings beside the weights, such as `global_step`.
    pub(super) metadata: BTreeMap<String, String>,
}

/// Finds the weights: the dictionary under `state_dict` or the like, or else the outermost one.
///
/// Dictionaries inside it are seen through, with dots in the names. Numbers, strings and lists among the weights are left
/// out; an object of a class is an error, because weights may be hidden in it.
pub(super) fn find(pickle: &Pickle, storages: &Storages) -> Result<Found, TorchProblem> {
    let mut walk = Walk {
        pickle,
        storages,
        found: Found::default(),
        entries: 0,
        name_bytes: 0,
        metadata_bytes: 0,
    };
    let mut dict = pickle.root;
    for _ in 0..MAX_WRAPPERS {
        let Node::Dict(pairs) = pickle.node(dict) else { break };
        walk.scalars(pairs)?;
        match wrapped(pickle, pairs) {
            Some(inner) => dict = inner,
            None => break,
        }
    }
    if !matches!(pickle.node(dict), Node::Dict(_)) {
        return Err(TorchProblem::NoTensors { found: pickle.node(dict).kind() });
    }
    walk.dict(dict, "", 0)?;
    match walk.found.tensors.is_empty() {
        true => Err(TorchProblem::NoTensors { found: "a dictionary without any".into() }),
        false => Ok(walk.found),
    }
}

/// The dictionary of weights inside this one, if it is a wrapper.
fn wrapped(pickle: &Pickle, pairs: &[(NodeId, NodeId)]) -> Option<NodeId> {
    let inner = |name: &str| {
        pairs.iter().rev().find(|(key, value)| {
            matches!(pickle.node(*key), Node::Text(text) if **text == *name)
                && matches!(pickle.node(*value), Node::Dict(_))
        })
    };
    let has_tensors = pairs.iter().any(|(_, value)| matches!(pickle.node(*value), Node::Tensor(_)));
    let names = if has_tensors { &WRAPPERS[..1] } else { &WRAPPERS[..] };
    names.iter().find_map(|name| inner(name)).map(|(_, value)| *value)
}

struct Walk<'a> {
    pickle: &'a Pickle,
    storages: &'a Storages,
    found: Found,
    entries: usize,
    name_bytes: usize,
    metadata_bytes: usize,
}

impl Walk<'_> {
    fn scalars(&mut self, pairs: &[(NodeId, NodeId)]) -> Result<(), TorchProblem> {
        for &(key, value) in pairs {
            let key = match self.pickle.node(key) {
                Node::Text(key) if key.len() <= MAX_NAME => key,
                _ => continue,
            };
            let text = match self.pickle.node(value) {
                Node::Bool(value) => value.to_string(),
                Node::Int(value) => value.to_string(),
                Node::Float(value) => value.to_string(),
                Node::Text(value) if value.len() <= MAX_NAME => value.to_string(),
                _ => continue,
            };
            self.metadata_bytes += key.len() + text.len();
            if self.metadata_bytes > MAX_METADATA {
                let what = "bytes of numbers and strings beside the weights";
                return Err(TorchProblem::TooMany { what, limit: MAX_METADATA });
            }
            self.found.metadata.insert(key.to_string(), text);
        }
        Ok(())
    }

    fn dict(&mut self, id: NodeId, prefix: &str, depth: usize) -> Result<(), TorchProblem> {
        let Node::Dict(pairs) = self.pickle.node(id) else { return Ok(()) };
        if depth > MAX_DEPTH {
            return Err(TorchProblem::TooDeep { name: prefix.into(), limit: MAX_DEPTH });
        }
        self.entries += pairs.len();
        if self.entries > MAX_ENTRIES {
            return Err(TorchProblem::TooMany { what: "entries", limit: MAX_ENTRIES });
        }
        for &(key, value) in pairs {
            let key = match self.pickle.node(key) {
                Node::Text(key) => Cow::Borrowed(&**key),
                Node::Int(key) => Cow::Owned(key.to_string()),
                _ => continue,
            };
            let dot = if prefix.is_empty() { "" } else { "." };
            if prefix.len() + key.len() >= MAX_NAME {
                return Err(TorchProblem::TooMany { what: "bytes in a name", limit: MAX_NAME });
            }
            let name = format!("{prefix}{dot}{key}");
            match self.pickle.node(value) {
                Node::Tensor(tensor) => {
                    self.name_bytes += name.len();
                    if self.name_bytes > MAX_NAMES {
                        let what = "bytes in all names";
                        return Err(TorchProblem::TooMany { what, limit: MAX_NAMES });
                    }
                    let entry = place(&name, tensor, self.storages)?;
                    self.found.tensors.insert(name, entry);
                }
                Node::Dict(_) => self.dict(value, &name, depth + 1)?,
                found @ Node::Opaque(_) => {
                    return Err(TorchProblem::NotTensor { name, found: found.kind() });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where a tensor lies, checked against its storage.
fn place(name: &str, tensor: &RawTensor, storages: &Storages) -> Result<Entry, TorchProblem> {
    let storage = &tensor.storage;
    let Some(range) = storages.get(&storage.key) else {
        let (tensor, key) = (name.into(), storage.key.to_string());
        return Err(TorchProblem::NoStorage { tensor, key });
    };
    let size = storage.dtype.bitsize() as u64 / 8;
    let end = storage.count.checked_add(storage.offset).and_then(|count| count.checked_mul(size));
    let (expected, found) = (end.unwrap_or(u64::MAX), range.len() as u64);
    if expected > found {
        let key = storage.key.to_string();
        return Err(TorchProblem::ShortStorage { key, expected, found });
    }
    // All in the bounds of the range now.
    let start = range.start + (storage.offset * size) as usize;
    let storage_range = start..start + (storage.count * size) as usize;
    let count = storage_range.len() as u64 / (tensor.dtype.bitsize() as u64 / 8);
    match View::new(tensor.offset, &tensor.shape, &tensor.strides, count) {
        Some(view) => Ok(Entry { dtype: tensor.dtype, view, storage: storage_range }),
        None => Err(TorchProblem::OutOfStorage {
            tensor: name.into(),
            shape: tensor.shape.clone(),
            strides: tensor.strides.clone(),
            offset: tensor.offset,
            count,
        }),
    }
}
