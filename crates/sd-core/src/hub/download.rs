//! One file, from the Hub into the cache.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    HubError, HubOptions, Transfer,
    cache::{RepositoryCache, create_parent},
    remote::{Announced, Arriving, Remote},
};

/// What is read at once.
const CHUNK: usize = 256 << 10;

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
        let blob = self.cache.blob(&announced.hash);
        create_parent(&blob)?;
        let _lock = self.cache.lock(&announced.hash)?;
        // Another process may have brought it while this one waited, and other commits may share it.
        if !blob.is_file() {
            let incomplete = blob.with_file_name(format!("{}.incomplete", announced.hash));
            retrying(retries, || self.receive(&incomplete, announced.size))?;
            self.check(&incomplete, &announced)?;
            fs::rename(&incomplete, &blob).map_err(HubError::io("rename", &incomplete))?;
        }
        self.cache.link(&announced.hash, self.commit, self.name)
    }

    /// Receives what is missing of it.
    fn receive(&self, incomplete: &Path, size: Option<u64>) -> Result<(), HubError> {
        let failed = |action| HubError::io(action, incomplete);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(incomplete)
            .map_err(failed("open"))?;
        let mut there = file.seek(SeekFrom::End(0)).map_err(failed("read"))?;
        if size.is_some_and(|size| there >= size) {
            // All of it; or more, which the check refuses.
            return Ok(());
        }
        let arriving = self.remote.open(self.commit, self.name, there)?;
        if arriving.from != there {
            file.set_len(0).map_err(failed("write"))?;
            there = file.seek(SeekFrom::Start(0)).map_err(failed("write"))?;
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
        let mut buffer = vec![0; CHUNK];
        loop {
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
            // No server fills the disk with more than it announced; the check refuses what there is.
            if size.is_some_and(|size| there > size) {
                break;
            }
        }
        match size {
            Some(size) if there < size => Err(interrupted(there, "it was closed".to_owned())),
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
}

/// How far a file is.
struct Position {
    there: u64,
    size: Option<u64>,
}

/// Tries again while the Hub is out of order: at once, then after pauses that grow.
fn retrying<T>(
    retries: usize,
    mut attempt: impl FnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let mut pause = Duration::ZERO;
    for _ in 0..retries {
        match attempt() {
            Err(error) if error.is_outage() => tracing::debug!("{error}"),
            other => return other,
        }
        thread::sleep(pause);
        pause = (pause * 2).max(Duration::from_secs(1));
    }
    attempt()
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
    fn only_outages_are_tried_again() {
        let mut attempts = 0;
        let status = |status| HubError::Status { url: "u".to_owned(), status };
        let result: Result<(), _> = retrying(1, || {
            attempts += 1;
            Err(status(503))
        });
        assert!(result.is_err() && attempts == 2);
        let result: Result<(), _> = retrying(5, || {
            attempts += 1;
            Err(status(418))
        });
        assert!(result.is_err() && attempts == 3);
    }

    #[test]
    fn hashes_are_those_of_sha256() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), expected);
        assert!(is_sha256(expected) && !is_sha256("ba78") && !is_sha256(&"g".repeat(64)));
    }
}
