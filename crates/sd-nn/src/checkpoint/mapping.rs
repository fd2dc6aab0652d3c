//! A file mapped into memory: the one place of this crate with `unsafe` in it.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

use memmap2::Mmap;

use super::CheckpointError;

/// Bytes read between two releases of mapped pages: large enough that releasing costs nothing.
const RELEASE_EVERY: usize = 16 << 20;

/// Checks that a path is a regular file with something in it.
pub(crate) fn regular_file(path: &Path) -> Result<(), CheckpointError> {
    // Before opening: opening a pipe would wait for its writer.
    let metadata =
        fs::metadata(path).map_err(|source| CheckpointError::io("open", path, source))?;
    if metadata.is_dir() {
        return Err(CheckpointError::IsDirectory { path: path.into() });
    }
    if !metadata.is_file() {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
        return Err(CheckpointError::Io { action: "map", path: path.into(), source });
    }
    if metadata.len() == 0 {
        return Err(CheckpointError::Empty { path: path.into() });
    }
    Ok(())
}

/// A whole file, read-only, as bytes that the operating system fetches on first use.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: Mmap,
}

impl Mapping {
    /// Maps a regular, non-empty file.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        regular_file(path)?;
        let file = File::open(path).map_err(|source| CheckpointError::io("open", path, source))?;
        // SAFETY: the map is read-only and private to this type, and its bytes leave it only as shared slices that
        // borrow it. What remains is that another process may change or cut the file while it is mapped, which no
        // program can prevent on the platforms supported; all that is derived from these bytes is checked once and then
        // used as plain numbers, so that a change yields wrong weights and a cut a signal from the operating system, as
        // with every memory-mapped model file. This crate itself replaces files by renaming and never writes into one.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|source| CheckpointError::io("map", path, source))?;
        Ok(Self { map })
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Gives the pages of a range back as it is read from its start; to be called with the number of bytes read so far.
    pub(crate) fn releaser(&self, range: Range<usize>) -> impl FnMut(usize) + '_ {
        let mut released = range.start;
        move |done| {
            let end = range.start + done;
            if end - released >= RELEASE_EVERY || end == range.end {
                self.release(released..end);
                released = end;
            }
        }
    }

    /// Gives the pages of a range back to the operating system, which fetches them again should they be read again.
    ///
    /// Without this a loaded model would be resident twice: its tensors and its file. It is advice: where it is not
    /// known or fails, pages stay until memory is short.
    pub(crate) fn release(&self, range: Range<usize>) {
        if range.is_empty() || range.end > self.map.len() {
            return;
        }
        #[cfg(unix)]
        {
            // SAFETY: the range lies inside the map. `MADV_DONTNEED` discards private changes of pages; the map is
            // read-only and backed by a file, so there are none, and later reads see the same bytes of the file.
            let advice = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            if let Err(error) = advice {
                tracing::trace!(%error, "mapped pages not released");
            }
        }
    }
}
