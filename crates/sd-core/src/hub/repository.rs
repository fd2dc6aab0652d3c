//! A revision of a repository, of which files are asked for by name.

use std::{collections::BTreeSet, path::PathBuf};

use sd_nn::checkpoint::has_weights_name;

use super::{
    Hub, HubError, HubModel,
    cache::RepositoryCache,
    download::Download,
    remote::{Listing, Remote},
    retry::retrying,
};

/// A revision of a repository: at the Hub, or what the cache has of it.
pub(super) struct Repository<'a> {
    model: &'a HubModel,
    cache: RepositoryCache,
    commit: String,
    names: BTreeSet<String>,
    /// `None`: the cache has to do.
    remote: Option<Remote<'a>>,
}

impl<'a> Repository<'a> {
    /// Asks the Hub.
    pub(super) fn online(hub: &'a Hub, model: &'a HubModel) -> Result<Self, HubError> {
        let remote = Remote { agent: &hub.agent, options: &hub.options, model };
        let cache = RepositoryCache::new(&hub.options.cache, model);
        // Where the cache may do, nobody waits for a Hub that is far away.
        let is_cached = cache
            .commit_of(model.revision())
            .is_some_and(|commit| cache.snapshot(&commit).is_dir());
        let retries = hub.options.retries.min(if is_cached { 1 } else { usize::MAX });
        let Listing { commit, names } = retrying(retries, || remote.listing())?;
        Ok(Self { model, cache, commit, names: names.into_iter().collect(), remote: Some(remote) })
    }

    /// Remembers for offline mode which commit the revision is, when all that is needed of it is there.
    pub(super) fn remember(&self) {
        self.cache.remember(self.model.revision(), &self.commit);
    }

    /// Looks into the cache.
    pub(super) fn cached(hub: &'a Hub, model: &'a HubModel) -> Result<Self, HubError> {
        let cache = RepositoryCache::new(&hub.options.cache, model);
        let commit = cache.commit_of(model.revision());
        let names = commit.as_deref().map(|commit| cache.names(commit)).unwrap_or_default();
        let repository =
            Self { model, cache, commit: commit.unwrap_or_default(), names, remote: None };
        match repository.names.is_empty() {
            true => Err(repository.not_cached("every file")),
            false => Ok(repository),
        }
    }

    pub(super) fn name(&self) -> String {
        self.model.repository().to_owned()
    }

    /// The directory that the files are in.
    pub(super) fn directory(&self) -> PathBuf {
        self.cache.snapshot(&self.commit)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The names of the files in a directory, but for those in directories of it; the top is the empty name.
    pub(super) fn names_in(&self, directory: &str) -> impl Iterator<Item = &str> {
        let before = match directory {
            "" => String::new(),
            directory => format!("{directory}/"),
        };
        let names = self.names.iter().filter_map(move |name| name.strip_prefix(&before));
        names.filter(|name| !name.contains('/'))
    }

    /// The file, downloaded if it is not in the cache.
    pub(super) fn get(&self, name: &str) -> Result<PathBuf, HubError> {
        if !self.has(name) {
            return Err(self.missing(name));
        }
        // A commit never changes.
        let path = self.directory().join(name);
        match &self.remote {
            Some(remote) if !path.is_file() => {
                Download { remote, cache: &self.cache, commit: &self.commit, name }.run()
            }
            _ => Ok(path),
        }
    }

    /// Why there is no such file.
    pub(super) fn missing(&self, name: &str) -> HubError {
        if self.is_cached_only() {
            return self.not_cached(name);
        }
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        HubError::NoFile {
            repository: self.name(),
            revision: self.model.revision().to_owned(),
            file: name.to_owned(),
            weights: self.weights_in(directory),
        }
    }

    /// What the cache lacks, in words.
    pub(super) fn not_cached(&self, missing: &str) -> HubError {
        HubError::NotCached {
            repository: self.name(),
            revision: self.model.revision().to_owned(),
            missing: missing.to_owned(),
            cache: self.cache.folder().to_owned(),
        }
    }

    /// Whether what is missing here may be at the Hub.
    pub(super) fn is_cached_only(&self) -> bool {
        self.remote.is_none()
    }

    /// Files that may hold weights.
    pub(super) fn weights_in(&self, directory: &str) -> Vec<String> {
        self.names_in(directory).filter(|name| has_weights_name(name)).map(Into::into).collect()
    }
}
