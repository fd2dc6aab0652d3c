//! One file, from the Hub into the cache.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sd_nn::{checkpoint::has_weights_name, config::MAX_JSON_BYTES};
use sha2::{Digest, Sha256};

use super::{
    HubError, HubOptions, Transfer,
    cache::RepositoryCache,
    files::{create_parent, length, open_own},
    remote::{Announced, Arriving, Remote},
    retry::retrying,
};

/// What is read at once.
const CHUNK: usize = 256 << 10;

/// More than a file of weights has whose size nobody says.
const WEIGHTS: u64 = 64 << 30;

/// A file of a commit that is not in the cache yet.
pub(super) struct Download<'a> {
    pub(super) remote: &'a Remote<'a>,
    pub(super) cache: &'a RepositoryCache,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

impl Download<'_> {
    /// Brings it into the cache, going on where an earlier attempt stopped.
    pub(super) fn run(&self) -> Result<PathBuf, HubError> {
        let HubOptions { retries, .. } = *self.remote.options;
        let announced = retrying(retries, || self.remote.announced(self.commit, self.name))?;
        // Nothing would read it.
        if announced.size.is_some_and(|size| size > MAX_JSON_BYTES) && !self.is_weights() {
            return Err(self.too_large(announced.size));
        }
        let blob = self.cache.blob(&announced.hash);
        create_parent(&blob)?;
        let _lock = self.cache.lock(&announced.hash)?;
        // Another process may have brought it while this one waited, and other commits may share it. One of another length
        // was cut by a full disk or a crash.
        let found = fs::metadata(&blob).ok().filter(fs::Metadata::is_file);
        if found.is_none_or(|found| announced.size.is_some_and(|size| size != found.len())) {
            self.bring(&announced, &blob)?;
        }
        self.cache.link(&announced.hash, self.commit, self.name)
    }

    /// Receives it, and makes it a content of the cache.
    fn bring(&self, announced: &Announced, blob: &Path) -> Result<(), HubError> {
        let incomplete = blob.with_file_name(format!("{}.incomplete", announced.hash));
        let mut went_on = false;
        let mut receive = || {
            went_on |= length(&incomplete) > 0;
            self.receive(&incomplete, announced.size)
        };
        retrying(self.remote.options.retries, &mut receive)?;
        match self.check(&incomplete, announced) {
            // What was there before may have been the broken part. The check has deleted it.
            Err(HubError::Corrupt { .. }) if went_on => {
                retrying(self.remote.options.retries, || {
                    self.receive(&incomplete, announced.size)
                })?;
                self.check(&incomplete, announced)?;
            }
            other => other?,
        }
        // A name in the cache says that all of it is there, after a crash as well.
        let synced = open_own(&incomplete).and_then(|file| file.sync_all());
        synced.map_err(HubError::io("write", &incomplete))?;
        fs::rename(&incomplete, blob).map_err(HubError::io("rename", &incomplete))
    }

    /// Receives what is missing of it.
    fn receive(&self, incomplete: &Path, size: Option<u64>) -> Result<(), HubError> {
        let failed = |action| HubError::io(action, incomplete);
        let mut file = open_own(incomplete).map_err(failed("open"))?;
        let mut there = file.seek(SeekFrom::End(0)).map_err(failed("read"))?;
        if Some(there) == size {
            return Ok(());
        }
        // More than all of it is no part of it.
        if size.is_some_and(|size| there > size) {
            there = emptied(&mut file).map_err(failed("write"))?;
        }
        let arriving = self.remote.open(self.commit, self.name, there)?;
        if arriving.from != there {
            there = emptied(&mut file).map_err(failed("write"))?;
        }
        let progress = self.remote.options.progress.as_deref();
        if let Some(progress) = progress {
            progress.begin(Transfer { file: self.name, total: size, already: there });
        }
        let result = self.copy(arriving, &mut file, incomplete, Position { there, size });
        if let Some(progress) = progress {
            progress.end();
        }
        result
    }

    fn copy(
        &self,
        mut arriving: Arriving,
        file: &mut File,
        incomplete: &Path,
        Position { mut there, size }: Position,
    ) -> Result<(), HubError> {
        let interrupted = |received, problem: String| HubError::Interrupted {
            file: self.name.to_owned(),
            received,
            expected: size,
            problem,
        };
        let limit = size.unwrap_or_else(|| self.limit());
        let mut buffer = vec![0; CHUNK];
        while there <= limit {
            let count = match arriving.reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(interrupted(there, error.to_string())),
            };
            file.write_all(&buffer[..count]).map_err(HubError::io("write", incomplete))?;
            there += count as u64;
            if let Some(progress) = self.remote.options.progress.as_deref() {
                progress.advance(count as u64);
            }
        }
        // No server fills the disk. What is more than was announced is refused by the check.
        match size {
            Some(size) if there < size => Err(interrupted(there, "it was closed".to_owned())),
            None if there > limit => {
                fs::remove_file(incomplete).map_err(HubError::io("delete", incomplete))?;
                Err(self.too_large(None))
            }
            _ => Ok(()),
        }
    }

    /// Refuses, and deletes, what is not the content that was announced.
    fn check(&self, incomplete: &Path, announced: &Announced) -> Result<(), HubError> {
        let failed = || HubError::io("read", incomplete);
        let found = fs::metadata(incomplete).map_err(failed())?.len();
        let size = announced.size.unwrap_or(found);
        let mut compared = vec![("size", found.to_string(), size.to_string())];
        // Large files have the hash of their content, small ones that of Git's blob, which is not worth its own algorithm.
        if found == size && is_sha256(&announced.hash) {
            let hash = sha256(incomplete).map_err(failed())?;
            compared.push(("SHA-256", hash, announced.hash.to_ascii_lowercase()));
        }
        match compared.into_iter().find(|(_, found, expected)| found != expected) {
            None => Ok(()),
            Some((measure, found, expected)) => {
                fs::remove_file(incomplete).map_err(HubError::io("delete", incomplete))?;
                Err(HubError::Corrupt { file: self.name.to_owned(), measure, found, expected })
            }
        }
    }

    fn is_weights(&self) -> bool {
        has_weights_name(self.name)
    }

    fn too_large(&self, size: Option<u64>) -> HubError {
        HubError::TooLarge { file: self.name.to_owned(), size, limit: self.limit() }
    }

    /// How long it may be, if nobody says how long it is.
    fn limit(&self) -> u64 {
        if self.is_weights() { WEIGHTS } else { MAX_JSON_BYTES }
    }
}

/// How far a file is.
struct Position {
    there: u64,
    size: Option<u64>,
}

/// Begins a file anew, at position 0.
fn emptied(file: &mut File) -> io::Result<u64> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))
}

fn is_sha256(hash: &str) -> bool {
    hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), expected);
        assert!(is_sha256(expected) && !is_sha256("ba78") && !is_sha256(&"g".repeat(64)));
    }
}
