//! Files that take the place of others: written beside it, synchronised and renamed.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    CheckpointError,
    discover::{index_name, is_shard, single_name},
};

/// A new file beside `path`, removed again unless it is put there.
pub(crate) fn temporary(path: &Path) -> Result<NamedTempFile, CheckpointError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".saving-").suffix(".tmp");
    #[cfg(unix)]
    let rights = {
        // The usual rights of a new file, less the user's mask; those of temporary files are narrower.
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(0o666)
    };
    #[cfg(unix)]
    builder.permissions(rights);
    builder.tempfile_in(parent(path)).map_err(|source| CheckpointError::io("write", path, source))
}

pub(crate) fn text_file(path: &Path, text: &str) -> Result<NamedTempFile, CheckpointError> {
    let mut file = temporary(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|source| CheckpointError::io("write", path, source))?;
    Ok(file)
}

pub(crate) fn put(file: NamedTempFile, path: &Path) -> Result<(), CheckpointError> {
    file.persist(path).map(drop).map_err(|error| CheckpointError::io("replace", path, error.error))
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Brings the renaming to the disk, where the operating system can.
pub(crate) fn sync_directory(directory: &Path) {
    let synchronised: io::Result<()> = if cfg!(unix) {
        fs::File::open(directory).and_then(|directory| directory.sync_all())
    } else {
        Ok(())
    };
    if let Err(error) = synchronised {
        tracing::debug!(directory = %directory.display(), %error, "directory not synchronised");
    }
}

/// Removing what earlier saves of the same stem and variant left and new files did not replace: shards, or the other of
/// single file and index, which would be found in place of the new weights.
#[derive(Debug)]
pub(crate) struct Cleanup {
    pub(crate) directory: PathBuf,
    pub(crate) stem: String,
    pub(crate) variant: Option<String>,
}

impl Cleanup {
    pub(crate) fn run(&self, kept: &[PathBuf]) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let ours = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| self.is_ours(name));
            if ours
                && !kept.contains(&path)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a file of an earlier save could not be removed");
            }
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let variant = self.variant.as_deref();
        let single = single_name(&self.stem, variant);
        let shard = single
            .strip_suffix(".safetensors")
            .and_then(|stem| name.strip_suffix(".safetensors")?.strip_prefix(stem))
            .is_some_and(|rest| rest.len() == "-00001-of-00002".len() && is_shard(rest));
        shard || name == single || name == index_name(&self.stem, variant)
    }
}
