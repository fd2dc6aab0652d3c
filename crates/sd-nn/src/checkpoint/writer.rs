//! A checkpoint being written: names, shapes and places are known first, and the tensors come in any order.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::NamedTempFile;

use super::{
    CheckpointError,
    file_names::{index_name, shard_name, single_name},
    header::LENGTH_BYTES,
    leftovers::Leftovers,
    replace::{SetAside, parent, put, put_new, sync_directory, temporary, text_file},
    save_plan::{SaveOptions, TensorSpec, check_names, header, sorted, split},
    sharded::is_plain_name,
};

/// Writes a checkpoint tensor by tensor, so that no more than one of them has to be in memory.
///
/// Everything is written beside its place and put there by [`finish`](Self::finish), when all of it is whole and on the
/// disk: a failure before leaves what was there. Dropping the writer abandons the checkpoint. What is found at any moment,
/// even after a crash, is the old weights or the new ones; only where new shards replace old ones of the same names, which
/// cannot happen at once, is there nothing to be found meanwhile.
#[derive(Debug)]
pub struct CheckpointWriter {
    shards: Vec<Shard>,
    /// Where each tensor belongs: its shard and its place there.
    places: HashMap<String, (usize, Place)>,
    /// Where the checkpoint is to be found: the file, or the index.
    entry: PathBuf,
    /// The index with its text, when there are several shards.
    index: Option<String>,
    leftovers: Option<Leftovers>,
    /// How files come into their places.
    put: Put,
}

type Put = fn(NamedTempFile, &Path) -> Result<(), CheckpointError>;

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: NamedTempFile,
}

#[derive(Debug)]
struct Place {
    spec: TensorSpec,
    offset: u64,
    len: u64,
    written: bool,
}

impl CheckpointWriter {
    /// Begins one `.safetensors` file.
    ///
    /// # Errors
    /// [`CheckpointError`]: names or shapes that cannot be written, or what the operating system says.
    pub fn create_file(
        path: impl AsRef<Path>,
        tensors: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        check_names(path, &tensors)?;
        let mut writer = Self::new(path.into());
        writer.add_shard(path.into(), sorted(tensors), metadata)?;
        Ok(writer)
    }

    /// Begins a component's weights in its directory: `STEM.safetensors`, or shards and their index when they are larger
    /// than a shard may be.
    ///
    /// # Errors
    /// [`CheckpointError`]: names or shapes that cannot be written, or what the operating system says.
    pub fn create(
        directory: impl AsRef<Path>,
        stem: &str,
        tensors: Vec<TensorSpec>,
        options: &SaveOptions,
    ) -> Result<Self, CheckpointError> {
        let directory = directory.as_ref();
        let variant = options.variant.as_deref();
        if let Some(name) =
            [Some(stem), variant].into_iter().flatten().find(|name| !is_plain_name(name))
        {
            return Err(CheckpointError::InvalidName { name: name.into() });
        }
        let single = directory.join(single_name(stem, variant));
        check_names(&single, &tensors)?;
        fs::create_dir_all(directory)
            .map_err(|source| CheckpointError::io("create", directory, source))?;

        let mut shards = split(sorted(tensors), options.max_shard_bytes)?;
        let mut writer = if shards.len() <= 1 {
            let mut writer = Self::new(single.clone());
            writer.add_shard(single, shards.pop().unwrap_or_default(), &options.metadata)?;
            writer
        } else {
            Self::sharded(directory, stem, shards, options)?
        };
        writer.leftovers = Some(Leftovers {
            directory: directory.into(),
            stem: stem.into(),
            variant: options.variant.clone(),
        });
        Ok(writer)
    }

    fn new(entry: PathBuf) -> Self {
        Self {
            shards: Vec::new(),
            places: HashMap::new(),
            entry,
            index: None,
            leftovers: None,
            put,
        }
    }

    /// Replaces nothing that is there: [`finish`](Self::finish) fails instead, even if it came there meanwhile.
    pub fn replace_nothing(mut self) -> Self {
        self.put = put_new;
        self
    }

    fn sharded(
        directory: &Path,
        stem: &str,
        shards: Vec<Vec<TensorSpec>>,
        options: &SaveOptions,
    ) -> Result<Self, CheckpointError> {
        let variant = options.variant.as_deref();
        let mut writer = Self::new(directory.join(index_name(stem, variant)));
        let mut weight_map = BTreeMap::new();
        let count = shards.len();
        for (number, tensors) in (1..).zip(shards) {
            let name = shard_name(stem, variant, number, count);
            weight_map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), name.clone())));
            writer.add_shard(directory.join(name), tensors, &options.metadata)?;
        }
        let total_size: u64 = writer.places.values().map(|(_, place)| place.len).sum();
        let index = json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
        writer.index = Some(format!("{index:#}\n"));
        Ok(writer)
    }

    /// Begins a file with these tensors in this order: writes its header and gives each tensor its place.
    fn add_shard(
        &mut self,
        path: PathBuf,
        tensors: Vec<TensorSpec>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CheckpointError> {
        let header = header(&tensors, metadata)?;
        let mut file = temporary(&path)?;
        file.write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| file.write_all(&header))
            .map_err(|source| CheckpointError::io("write", &path, source))?;
        let mut offset = (LENGTH_BYTES + header.len()) as u64;
        for spec in tensors {
            let len = spec.byte_len()?;
            let place = Place { offset, len, written: false, spec };
            offset += len;
            self.places.insert(place.spec.name.clone(), (self.shards.len(), place));
        }
        self.shards.push(Shard { path, file });
        Ok(())
    }

    /// Writes one tensor's row-major little-endian elements to its place.
    ///
    /// # Errors
    /// [`CheckpointError`]: a name that was not announced, a wrong length, or what the operating system says.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let Some((shard, place)) = self.places.get_mut(name) else {
            return Err(CheckpointError::InvalidName { name: name.into() });
        };
        if place.len != bytes.len() as u64 {
            return Err(place.spec.wrong_length(place.len, bytes.len() as u64));
        }
        let Shard { path, file } = &mut self.shards[*shard];
        file.seek(SeekFrom::Start(place.offset))
            .and_then(|_| file.write_all(bytes))
            .map_err(|source| CheckpointError::io("write", path.as_path(), source))?;
        place.written = true;
        Ok(())
    }

    /// Brings everything to the disk and puts it into its place, the index last; then removes what earlier saves of the
    /// same stem and variant left there. Returns the file, or the index.
    ///
    /// # Errors
    /// [`CheckpointError::Unwritten`] when tensors are lacking, [`CheckpointError::Shadowed`] when the new weights are whole
    /// but older ones would be loaded, or what the operating system says.
    pub fn finish(self) -> Result<PathBuf, CheckpointError> {
        self.check_written()?;
        let index = self.index.as_ref().map(|text| text_file(&self.entry, text)).transpose()?;
        for Shard { path, file } in &self.shards {
            file.as_file()
                .sync_all()
                .map_err(|source| CheckpointError::io("write", path.as_path(), source))?;
        }
        let old_indices = self.set_old_indices_aside()?;
        let Self { shards, entry, leftovers, put, .. } = self;
        let shards = put_shards(shards, old_indices, put)?;
        // Each step is on the disk before the next begins: a crash may not undo the one and keep the other.
        sync_directory(parent(&entry));
        if let Some(index) = index {
            put(index, &entry)?;
            sync_directory(parent(&entry));
        }
        if let Some(leftovers) = leftovers {
            leftovers.remove(&entry, &shards)?;
        }
        Ok(entry)
    }

    fn check_written(&self) -> Result<(), CheckpointError> {
        let unwritten = self.places.values().filter(|(_, place)| !place.written);
        let mut names: Vec<String> = unwritten.map(|(_, place)| place.spec.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort();
        Err(CheckpointError::Unwritten { path: self.entry.clone(), names })
    }

    /// Makes room for shards whose names are those of shards that are there.
    fn set_old_indices_aside(&self) -> Result<Vec<SetAside>, CheckpointError> {
        match &self.leftovers {
            Some(leftovers)
                if self.index.is_some() && self.shards.iter().any(|shard| shard.path.exists()) =>
            {
                leftovers.set_indices_aside()
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Puts shards into their places and removes the old indices.
fn put_shards(
    shards: Vec<Shard>,
    old_indices: Vec<SetAside>,
    put: Put,
) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut places = Vec::new();
    for Shard { path, file } in shards {
        if let Err(error) = put(file, &path) {
            if places.is_empty() {
                // Nothing was replaced yet, so the old weights are whole.
                old_indices.into_iter().for_each(SetAside::put_back);
            }
            return Err(error);
        }
        places.push(path);
    }
    Ok(places)
}
