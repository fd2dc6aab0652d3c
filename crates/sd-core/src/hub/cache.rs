//! The cache, in the layout of `huggingface_hub`: contents under the names of their hashes, and for each commit a directory
//! of links to them.
//!
//! ```text
//! CACHE/models--OWNER--MODEL/blobs/HASH
//!                           /refs/REVISION          which commit it was last time
//!                           /snapshots/COMMIT/FILE  → ../../blobs/HASH
//! CACHE/.locks/models--OWNER--MODEL/HASH.lock
//! ```

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{
    HubError, HubModel,
    files::{copy, create_parent, open_own, symlink, write},
    names::is_commit,
};

/// A repository's part of the cache.
#[derive(Debug)]
pub(super) struct RepositoryCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    pub(super) fn new(cache: &Path, model: &HubModel) -> Self {
        let name = format!("models--{}", model.repository().replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a content is.
    pub(super) fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// The directory of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The commit that a revision is, or was when the Hub was last asked.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_ascii_lowercase());
        }
        let text = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers which commit a revision is.
    pub(super) fn remember(&self, revision: &str, commit: &str) {
        // Models of a cache that is mounted read-only are loaded none the less.
        if self.commit_of(revision).as_deref() != Some(commit)
            && let Err(error) = write(&self.folder.join("refs").join(revision), commit)
        {
            tracing::warn!("{error}; without it, {revision} is not found in offline mode");
        }
    }

    /// The names of a commit's files that are there whole.
    pub(super) fn names(&self, commit: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        collect(&self.snapshot(commit), "", &mut names);
        names
    }

    /// Keeps other processes, Python's among them, from downloading the same content until the result is dropped.
    pub(super) fn lock(&self, hash: &str) -> Result<File, HubError> {
        let path = self.locks.join(format!("{hash}.lock"));
        create_parent(&path)?;
        let file = open_own(&path).map_err(HubError::io("create", &path))?;
        let locked = file.try_lock().or_else(|error| match error {
            TryLockError::WouldBlock => {
                tracing::info!("waiting for another process, which has {}", path.display());
                file.lock()
            }
            TryLockError::Error(error) => Err(error),
        });
        if let Err(error) = locked {
            tracing::debug!("{}: no locks here: {error}", path.display());
        }
        Ok(file)
    }

    /// Brings a content that is there into a commit's directory.
    pub(super) fn link(&self, hash: &str, commit: &str, name: &str) -> Result<PathBuf, HubError> {
        let (blob, path) = (self.blob(hash), self.snapshot(commit).join(name));
        // Another process may have brought it while this one waited.
        if path.is_file() {
            return Ok(path);
        }
        create_parent(&path)?;
        // A link to a content that was deleted.
        let _ = fs::remove_file(&path);
        // Or it is as fast where there are no locks.
        let forgiven = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists if path.is_file() => Ok(()),
            _ => Err(error),
        };
        let up = "../".repeat(2 + name.matches('/').count());
        symlink(Path::new(&format!("{up}blobs/{hash}")), &path)
            .or_else(forgiven)
            .or_else(|_| fs::hard_link(&blob, &path).or_else(forgiven))
            .or_else(|_| copy(&blob, &path).or_else(forgiven))
            .map_err(HubError::io("link", &path))?;
        Ok(path)
    }
}

fn collect(directory: &Path, before: &str, names: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, name) = (entry.path(), format!("{before}{name}"));
        // Directories are never links, and files are such as lead somewhere.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, &format!("{name}/"), names);
        } else if path.is_file() {
            names.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn contents_are_found_by_the_names_of_their_commit() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = RepositoryCache::new(scratch.path(), &"a/b".parse().unwrap());
        let blob = scratch.path().join("models--a--b/blobs/hash");
        write(&blob, "content").unwrap();
        for name in ["top.json", "unet/deep/file.bin"] {
            let path = cache.link("hash", COMMIT, name).unwrap();
            assert_eq!(path, scratch.path().join("models--a--b/snapshots").join(COMMIT).join(name));
            assert_eq!(fs::read_to_string(&path).unwrap(), "content");
            #[cfg(unix)]
            assert!(fs::read_link(&path).unwrap().is_relative(), "a cache may be moved");
        }
        assert!(cache.names(COMMIT).iter().eq(["top.json", "unet/deep/file.bin"]));
        #[cfg(unix)]
        {
            fs::remove_file(&blob).unwrap();
            assert!(cache.names(COMMIT).is_empty(), "links that lead nowhere are no files");
            write(&blob, "again").unwrap();
        }
        let path = cache.link("hash", COMMIT, "top.json").unwrap();
        assert!(path.is_file());
        // What another process made meanwhile stays.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        cache.link("hash", COMMIT, "top.json").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    }

    #[test]
    fn a_content_is_locked_once_and_its_lock_not_emptied() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = RepositoryCache::new(scratch.path(), &"a/b".parse().unwrap());
        let path = scratch.path().join(".locks/models--a--b/hash.lock");
        write(&path, "another's").unwrap();
        let lock = cache.lock("hash").unwrap();
        let second = File::open(&path).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        second.try_lock().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    }

    #[test]
    fn revisions_are_remembered() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = RepositoryCache::new(scratch.path(), &"a/b".parse().unwrap());
        assert_eq!(cache.commit_of("main"), None);
        assert_eq!(cache.commit_of(COMMIT).as_deref(), Some(COMMIT));
        for revision in ["main", "refs/pr/1"] {
            cache.remember(revision, COMMIT);
            assert_eq!(cache.commit_of(revision).as_deref(), Some(COMMIT));
        }
        write(&cache.folder().join("refs/main"), "../../elsewhere").unwrap();
        assert_eq!(cache.commit_of("main"), None, "no commit, but a path");
    }
}
