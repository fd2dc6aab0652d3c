//! Writing files: tried before the work, and then whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// Checks that a file can be written: what was there stays as it is. For finding out before the work, not after.
///
/// # Errors
/// When the path is a directory or names no file, the directory does not exist, or either cannot be written.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    let check = || match Target::of(path)? {
        Target::File(file) => {
            // A rename would replace even a file that nobody may write.
            OpenOptions::new().append(true).open(&file)?;
            temporary(&file).map(drop)
        }
        Target::Device(file) => OpenOptions::new().write(true).open(file).map(drop),
        Target::New(file) => {
            // Under its own name, which the file system may refuse.
            File::create_new(&file)?;
            fs::remove_file(&file)
        }
    };
    check().map_err(Error::io("write", path))
}

/// Writes a file by a temporary one and a rename, so that it appears whole or not at all. Links are followed; what is no
/// regular file, such as a pipe, is written to.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || match Target::of(path)? {
        Target::Device(file) => OpenOptions::new().write(true).open(file)?.write_all(bytes),
        Target::File(file) => {
            let permissions = fs::metadata(&file)?.permissions();
            replace(&file, bytes, Some(permissions))
        }
        Target::New(file) => replace(&file, bytes, None),
    };
    write().map_err(Error::io("write", path))
}

/// What stands at a path.
enum Target {
    /// A regular file, links followed.
    File(PathBuf),
    /// A pipe, a terminal, `/dev/null`.
    Device(PathBuf),
    /// Nothing yet.
    New(PathBuf),
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        // `Path` forgets a trailing separator.
        let bytes = path.as_os_str().as_encoded_bytes();
        let separator = bytes.last().is_some_and(|last| std::path::is_separator(char::from(*last)));
        if path.file_name().is_none() || separator && !path.is_dir() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the path names no file"));
        }
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(Self::New(path.to_path_buf()));
        }
        let path = path.canonicalize()?;
        let kind = fs::metadata(&path)?.file_type();
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => Err(ErrorKind::IsADirectory.into()),
            (_, true) => Ok(Self::File(path)),
            _ => Ok(Self::Device(path)),
        }
    }
}

fn replace(path: &Path, bytes: &[u8], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A temporary file beside a file, with the permissions that any new file has.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // The temporary file's own name would only confuse.
    builder.tempfile_in(directory).map_err(|error| error.kind().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        check_writable(path).unwrap_err().to_string()
    }

    #[test]
    fn an_impossible_path_is_found_before_the_work() {
        let directory = tempfile::tempdir().unwrap();
        let inside = |name: &str| directory.path().join(name);
        assert!(refusal(directory.path()).contains("directory"));
        assert!(refusal(&inside("no/such/out.png")).contains("no/such/out.png"));
        assert!(refusal(&inside("no/")).contains("names no file"));
        assert!(refusal(Path::new("")).contains("names no file"));
        assert!(check_writable(&inside(&"x".repeat(300))).is_err());
        assert!(check_writable(&inside("out.png")).is_ok());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_there_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.png");
        for bytes in [b"first".as_slice(), b"second"] {
            check_writable(&path).unwrap();
            write_atomically(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        symlink(&file, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o604);
        // A link that leads nowhere is a mistake to tell of.
        symlink(directory.path().join("gone"), directory.path().join("dangling")).unwrap();
        assert!(check_writable(&directory.path().join("dangling")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_to_and_stay() {
        use std::os::unix::fs::FileTypeExt;
        let device = Path::new("/dev/null");
        check_writable(device).unwrap();
        write_atomically(device, b"picture").unwrap();
        assert!(fs::metadata(device).unwrap().file_type().is_char_device());
    }
}
