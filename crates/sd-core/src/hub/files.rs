//! Files of the cache: written at one go, opened without being led elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

use super::HubError;

/// Creates the directory that a file is to be in.
pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(HubError::io("create", parent))
}

/// Writes a small file at one go, so that nobody reads a half.
pub(super) fn write(path: &Path, text: &str) -> Result<(), HubError> {
    create_parent(path)?;
    let written = || {
        let mut file = temporary_beside(path)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(HubError::io("write", path))
}

/// Copies a file to where there is none, at one go: a copy that broke off would be taken for the whole.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = temporary_beside(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.as_file().sync_all()?;
    copy.persist_noclobber(to)?;
    Ok(())
}

/// Opens a file to go on with it, and creates it if there is none. A link in its place is removed, not followed: what it
/// leads to is nobody's download.
pub(super) fn open_own(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        fs::remove_file(path)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// How long a file is; one that is not there, or no file, has no bytes.
pub(super) fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map_or(0, |found| found.len())
}

/// A file in the same directory, which becomes that file by being renamed.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Caches are shared between accounts, which the owner's umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(path.parent().unwrap_or(path))
}

#[cfg(unix)]
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Takes a right that few accounts have.
#[cfg(windows)]
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    let target = target.to_string_lossy().replace('/', "\\");
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
pub(super) fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_whole_and_replace_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        assert!(copy(&from, &to).is_err() && !to.exists(), "nothing is left of a failure");
        fs::write(&from, "content").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "content");
        let error = copy(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let (other, path) = (scratch.path().join("other"), scratch.path().join("x.incomplete"));
        fs::write(&other, "another's").unwrap();
        symlink(&other, &path).unwrap();
        assert_eq!(length(&path), 0);
        open_own(&path).unwrap().write_all(b"ours").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), length(&path)), ("ours", 4));
    }
}
