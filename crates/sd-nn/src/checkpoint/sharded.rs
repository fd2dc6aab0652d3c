//! A checkpoint in several files with an index that says which tensor is where.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
};

use burn::tensor::{DType, TensorData};
use serde::Deserialize;

use crate::config::{ConfigError, read_json};

use super::{
    CheckpointError, TensorInfo, WeightFile, WeightSource, header::Pairs, nearest::nearest, open,
};

/// What is wrong with the index of a sharded checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexProblem {
    /// It cannot be read, or is not the JSON expected.
    #[error(transparent)]
    Unreadable(#[from] Box<ConfigError>),
    /// It lists no tensor.
    #[error("the weight map is empty")]
    Empty,
    /// A key that stands twice in the weight map.
    #[error("key `{key}` stands twice in the weight map")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A shard that is no plain file name of the same directory.
    #[error("shard `{shard}` is not a plain file name")]
    NotPlainName {
        /// The shard as the index names it.
        shard: String,
    },
    /// Files that the index names and the directory lacks.
    #[error("missing shards: {}", shards.join(", "))]
    MissingShards {
        /// Their names.
        shards: Vec<String>,
    },
    /// A tensor that is not where the index says.
    #[error("tensor `{key}` is not in shard `{shard}`{}", elsewhere.as_ref().map(|s| format!(" but in `{s}`")).unwrap_or_default())]
    NotInShard {
        /// The tensor.
        key: String,
        /// The shard that the index names.
        shard: String,
        /// The shard that has it, if one does.
        elsewhere: Option<String>,
    },
    /// A tensor that two shards have.
    #[error("tensor `{key}` is in shard `{first}` and in shard `{second}`")]
    InTwoShards {
        /// The tensor.
        key: String,
        /// One shard.
        first: String,
        /// The other.
        second: String,
    },
}

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<String>,
}

/// The shards of a checkpoint, each mapped and checked, as one source.
#[derive(Debug)]
pub struct ShardedFiles {
    index: PathBuf,
    shards: Vec<WeightFile>,
    /// Which shard has a tensor.
    homes: HashMap<String, usize>,
}

impl ShardedFiles {
    /// Opens `*.index.json` and every shard that it names, which lie beside it.
    ///
    /// # Errors
    /// [`CheckpointError::InvalidIndex`], or what is wrong with a shard.
    pub fn open(index: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = index.as_ref();
        let invalid = |problem| CheckpointError::InvalidIndex { path: path.into(), problem };
        let weight_map = read(path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let names = shard_names(&weight_map, directory).map_err(invalid)?;
        let shards =
            names.iter().map(|name| open(directory.join(name))).collect::<Result<Vec<_>, _>>()?;
        let homes = homes(&names, &shards, &weight_map).map_err(invalid)?;
        Ok(Self { index: path.into(), shards, homes })
    }

    /// The shards, in the order of their names.
    pub fn shards(&self) -> &[WeightFile] {
        &self.shards
    }

    fn home(&self, name: &str) -> Option<&WeightFile> {
        self.shards.get(*self.homes.get(name)?)
    }
}

/// The names of the shards that a `*.index.json` file lists, whether they are there or not.
///
/// # Errors
/// [`CheckpointError::InvalidIndex`], also for names that lead out of its directory.
pub fn shard_files(index: impl AsRef<Path>) -> Result<Vec<String>, CheckpointError> {
    let path = index.as_ref();
    let names = plain_names(&read(path)?)
        .map_err(|problem| CheckpointError::InvalidIndex { path: path.into(), problem })?;
    Ok(names.into_iter().collect())
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let invalid = |problem| CheckpointError::InvalidIndex { path: path.into(), problem };
    let index: Index = read_json(path).map_err(|error| match error {
        ConfigError::NotFound { path } => CheckpointError::NotFound { path },
        error => invalid(IndexProblem::Unreadable(Box::new(error))),
    })?;
    weight_map(index).map_err(invalid)
}

fn weight_map(index: Index) -> Result<BTreeMap<String, String>, IndexProblem> {
    let mut weight_map = BTreeMap::new();
    for (key, shard) in index.weight_map.0 {
        if weight_map.contains_key(&key) {
            return Err(IndexProblem::DuplicateKey { key });
        }
        weight_map.insert(key, shard);
    }
    if weight_map.is_empty() { Err(IndexProblem::Empty) } else { Ok(weight_map) }
}

/// Reads an index that is in memory.
pub(super) fn exercise(text: &str) {
    if let Ok(index) = serde_json::from_str::<Index>(text)
        && let Ok(map) = weight_map(index)
    {
        let _ = shard_names(&map, Path::new("no/such/directory"));
    }
}

/// The distinct shards: plain names, all of them there.
fn shard_names(
    weight_map: &BTreeMap<String, String>,
    directory: &Path,
) -> Result<Vec<String>, IndexProblem> {
    let (names, missing): (Vec<String>, Vec<String>) =
        plain_names(weight_map)?.into_iter().partition(|name| directory.join(name).is_file());
    match missing.is_empty() {
        true => Ok(names),
        false => Err(IndexProblem::MissingShards { shards: missing }),
    }
}

/// The distinct shards, by name.
fn plain_names(weight_map: &BTreeMap<String, String>) -> Result<BTreeSet<String>, IndexProblem> {
    let names: BTreeSet<String> = weight_map.values().cloned().collect();
    match names.iter().find(|name| !is_plain_name(name)) {
        Some(shard) => Err(IndexProblem::NotPlainName { shard: shard.clone() }),
        None => Ok(names),
    }
}

/// Whether this names a file of the directory it is joined to, on any operating system.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    one && !name.contains(['/', '\\', ':', '\0'])
}

/// Which shard has which tensor, checked against the index.
fn homes(
    names: &[String],
    shards: &[WeightFile],
    weight_map: &BTreeMap<String, String>,
) -> Result<HashMap<String, usize>, IndexProblem> {
    let mut homes: HashMap<String, usize> = HashMap::new();
    for (position, shard) in shards.iter().enumerate() {
        for key in shard.names() {
            if let Some(first) = homes.insert(key.clone(), position) {
                let (first, second) = (names[first].clone(), names[position].clone());
                return Err(IndexProblem::InTwoShards { key, first, second });
            }
        }
    }
    for (key, shard) in weight_map {
        let found = homes.get(key).map(|&position| &names[position]);
        if found != Some(shard) {
            return Err(IndexProblem::NotInShard {
                key: key.clone(),
                shard: shard.clone(),
                elsewhere: found.cloned(),
            });
        }
    }
    Ok(homes)
}

impl WeightSource for ShardedFiles {
    fn origin(&self) -> String {
        self.index.display().to_string()
    }

    fn names(&self) -> Vec<String> {
        self.shards.iter().flat_map(WeightSource::names).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.home(name)?.info(name)
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        match self.home(name) {
            Some(shard) => shard.read(name, dtype),
            None => Err(CheckpointError::NoSuchTensor {
                origin: self.origin(),
                name: name.into(),
                nearest: nearest(name, self.homes.keys().map(String::as_str)).map(Into::into),
            }),
        }
    }
}
