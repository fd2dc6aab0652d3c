//! The files that `torch.save` wrote before 1.6, and still writes on demand: five pickles, then the storages.

use std::collections::{HashMap, HashSet};

use super::{Contents, TorchProblem, storages::Storages};
use crate::checkpoint::pickle::{MAX_KEY, Node, Pickle, PickleProblem, load};

/// The first pickle.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The second pickle.
const PROTOCOL: i128 = 1001;

/// What such a file holds.
pub(super) fn open(file: &[u8]) -> Result<Contents<'_>, TorchProblem> {
    let mut at = 0;
    let mut next = || -> Result<(usize, Pickle), TorchProblem> {
        let start = at;
        let pickle = load(&file[start..]).map_err(|problem| moved(problem, start))?;
        at += pickle.len;
        Ok((start, pickle))
    };
    // A hostile pickle shall be called by its name rather than be "not of torch".
    if !matches!(next()?.1.root(), Node::Int(MAGIC))
        || !matches!(next()?.1.root(), Node::Int(PROTOCOL))
    {
        return Err(TorchProblem::NotOfTorch);
    }
    if !is_little_endian(&next()?.1) {
        return Err(TorchProblem::BigEndian);
    }
    let (start, object) = next()?;
    let (_, keys) = next()?;
    let pickle = &file[start..start + object.len];
    let mut storages = Storages::default();
    for (key, size) in sizes(&object, &keys)? {
        let data = file.get(at..).unwrap_or_default();
        let Some((count, data)) = data.split_first_chunk::<8>() else {
            return Err(PickleProblem::Truncated { offset: file.len() }.into());
        };
        let len = u64::from_le_bytes(*count).saturating_mul(size);
        if len > data.len() as u64 {
            let (expected, found) = (len, data.len() as u64);
            return Err(TorchProblem::ShortStorage { key: key.into(), expected, found });
        }
        let data_start = at + count.len();
        at = data_start + len as usize;
        storages.insert(key.into(), data_start..at);
    }
    Ok(Contents { pickle, storages })
}

/// The keys of storages in their order, and the size of an element of each.
///
/// The pickle of the keys may refer to one long string any number of times: each key is of a storage that the object has,
/// which is short, and comes once.
fn sizes<'a>(object: &Pickle, keys: &'a Pickle) -> Result<Vec<(&'a str, u64)>, TorchProblem> {
    let mut known = HashMap::new();
    for node in &object.nodes {
        if let Node::Storage(storage) = node {
            known.entry(&*storage.key).or_insert(storage.dtype.bitsize() as u64 / 8);
        }
    }
    let Node::List(list) = keys.root() else { return Err(TorchProblem::NotOfTorch) };
    let mut seen = HashSet::new();
    let size = |id: &u32| match keys.node(*id) {
        Node::Text(key) if key.len() <= MAX_KEY => match known.get(&**key) {
            Some(_) if !seen.insert(&**key) => {
                Err(TorchProblem::RepeatedStorage { key: key.to_string() })
            }
            Some(size) => Ok((&**key, *size)),
            None => Err(TorchProblem::NotOfTorch),
        },
        _ => Err(TorchProblem::NotOfTorch),
    };
    list.iter().map(size).collect()
}

fn is_little_endian(system: &Pickle) -> bool {
    let Node::Dict(pairs) = system.root() else { return false };
    pairs.iter().any(|&(key, value)| {
        matches!(system.node(key), Node::Text(key) if **key == *"little_endian")
            && matches!(system.node(value), Node::Bool(true))
    })
}

/// A problem with its offset counted from the start of the file.
fn moved(problem: PickleProblem, by: usize) -> PickleProblem {
    match problem {
        PickleProblem::Forbidden { name, offset } => {
            PickleProblem::Forbidden { name, offset: offset + by }
        }
        PickleProblem::Truncated { offset } => PickleProblem::Truncated { offset: offset + by },
        PickleProblem::UnknownOpcode { opcode, offset } => {
            PickleProblem::UnknownOpcode { opcode, offset: offset + by }
        }
        PickleProblem::Unexpected { offset, expected, found } => {
            PickleProblem::Unexpected { offset: offset + by, expected, found }
        }
        PickleProblem::NotStored { offset, index } => {
            PickleProblem::NotStored { offset: offset + by, index }
        }
        PickleProblem::Malformed { offset, expected } => {
            PickleProblem::Malformed { offset: offset + by, expected }
        }
        problem @ PickleProblem::TooMuch { .. } => problem,
    }
}
