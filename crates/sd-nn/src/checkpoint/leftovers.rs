//! What earlier saves of the same stem and variant left in a directory, and new files did not replace.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    CheckpointError,
    file_names::{entry_names, index_names, is_shard, single_name},
    replace::{SetAside, set_aside, sync_directory},
};

/// Single files, indices and shards of a stem and variant in a directory.
#[derive(Debug)]
pub(crate) struct Leftovers {
    pub(crate) directory: PathBuf,
    pub(crate) stem: String,
    pub(crate) variant: Option<String>,
}

impl Leftovers {
    /// Takes every index out of its place, for the time in which shards that it names are replaced one by one: with it, a
    /// save that ends midway would leave a mixture of two models that loads.
    pub(crate) fn set_indices_aside(&self) -> Result<Vec<SetAside>, CheckpointError> {
        let mut aside = Vec::new();
        for name in index_names(&self.stem, self.variant.as_deref()) {
            match set_aside(&self.directory.join(name)) {
                Ok(index) => aside.extend(index),
                Err(error) => {
                    aside.into_iter().for_each(SetAside::put_back);
                    return Err(error);
                }
            }
        }
        sync_directory(&self.directory);
        Ok(aside)
    }

    /// Removes all but `entry`, which is the new single file or index, and its shards.
    ///
    /// What would be loaded in place of `entry` goes first, and stays whole when it cannot go.
    pub(crate) fn remove(&self, entry: &Path, shards: &[PathBuf]) -> Result<(), CheckpointError> {
        self.remove_with(entry, shards, &|path| fs::remove_file(path))
    }

    fn remove_with(
        &self,
        entry: &Path,
        shards: &[PathBuf],
        remove: &dyn Fn(&Path) -> io::Result<()>,
    ) -> Result<(), CheckpointError> {
        let mut preferred = true;
        for name in entry_names(&self.stem, self.variant.as_deref()) {
            if entry.file_name() == Some(OsStr::new(&name)) {
                preferred = false;
                continue;
            }
            let path = self.directory.join(name);
            match remove(&path) {
                // A directory of that name is not taken for weights.
                Err(source) if preferred && path.is_file() => {
                    return Err(CheckpointError::Shadowed { saved: entry.into(), path, source });
                }
                result => warn_unless_removed(&path, result),
            }
        }
        // No index may outlive its shards.
        sync_directory(&self.directory);
        let Ok(entries) = fs::read_dir(&self.directory) else { return Ok(()) };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(OsStr::to_str);
            if name.is_some_and(|name| self.is_shard(name)) && !shards.contains(&path) {
                warn_unless_removed(&path, remove(&path));
            }
        }
        sync_directory(&self.directory);
        Ok(())
    }

    fn is_shard(&self, name: &str) -> bool {
        let single = single_name(&self.stem, self.variant.as_deref());
        single
            .strip_suffix(".safetensors")
            .and_then(|stem| name.strip_suffix(".safetensors")?.strip_prefix(stem))
            .is_some_and(|rest| rest.len() == "-00001-of-00002".len() && is_shard(rest))
    }
}

fn warn_unless_removed(path: &Path, result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file of an earlier save could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINGLE: &str = "diffusion_pytorch_model.safetensors";
    const INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";
    const SHARD: &str = "diffusion_pytorch_model-00001-of-00002.safetensors";

    /// What removing leftovers says and leaves, when no file whose name ends so can be removed.
    fn remove(
        entry: &str,
        shards: &[&str],
        stuck: &str,
    ) -> (Result<(), CheckpointError>, Vec<String>) {
        let scratch = tempfile::tempdir().unwrap();
        for name in [SINGLE, INDEX, SHARD] {
            fs::write(scratch.path().join(name), b"").unwrap();
        }
        let leftovers = Leftovers {
            directory: scratch.path().into(),
            stem: "diffusion_pytorch_model".into(),
            variant: None,
        };
        let shards: Vec<PathBuf> = shards.iter().map(|name| scratch.path().join(name)).collect();
        let result = leftovers.remove_with(&scratch.path().join(entry), &shards, &|path| {
            if path.ends_with(stuck) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            fs::remove_file(path)
        });
        let files = fs::read_dir(scratch.path()).unwrap();
        let mut names: Vec<String> =
            files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (result, names)
    }

    #[test]
    fn a_leftover_that_would_be_loaded_instead_is_an_error_and_stays_whole() {
        let (result, names) = remove(SINGLE, &[], INDEX);
        let error = result.unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Shadowed { path, saved, .. }
                if path.ends_with(INDEX) && saved.ends_with(SINGLE)),
            "{error}"
        );
        assert_eq!(names, [SHARD, SINGLE, INDEX]);
    }

    #[test]
    fn a_leftover_that_nobody_loads_is_none() {
        let (result, names) = remove(INDEX, &[SHARD], SINGLE);
        result.unwrap();
        assert_eq!(names, [SHARD, SINGLE, INDEX]);
        let (result, names) = remove(SINGLE, &[], SHARD);
        result.unwrap();
        assert_eq!(names, [SHARD, SINGLE]);
    }
}
