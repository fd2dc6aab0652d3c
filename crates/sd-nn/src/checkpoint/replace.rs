//! Files that take the place of others: written beside it, synchronised and renamed.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use super::CheckpointError;

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

/// As [`put`], where nothing is yet.
pub(crate) fn put_new(file: NamedTempFile, path: &Path) -> Result<(), CheckpointError> {
    file.persist_noclobber(path)
        .map(drop)
        .map_err(|error| CheckpointError::io("write", path, error.error))
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

/// A file out of its place; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SetAside {
    place: PathBuf,
    file: TempPath,
}

/// Takes a file out of its place by renaming it, if there is one.
pub(crate) fn set_aside(place: &Path) -> Result<Option<SetAside>, CheckpointError> {
    let file = temporary(place)?.into_temp_path();
    match fs::rename(place, &file) {
        Ok(()) => Ok(Some(SetAside { place: place.into(), file })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CheckpointError::io("replace", place, error)),
    }
}

impl SetAside {
    pub(crate) fn put_back(self) {
        if let Err(error) = self.file.persist(&self.place) {
            tracing::warn!(path = %self.place.display(), %error, "not put back into its place");
        }
    }
}
