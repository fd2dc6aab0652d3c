//! What the Hub is asked.

use std::io::Read;

use serde::Deserialize;
use ureq::{Agent, Body, http::Response};

use super::{
    HubError, HubModel, HubOptions,
    names::{is_commit, is_plain, is_plain_path},
    requests::{Asked, answer, failed, header},
    url::{Slashes, escaped},
};

/// More text than a list of files has.
const LISTING: u64 = 64 << 20;

/// A repository at the Hub.
pub(super) struct Remote<'a> {
    pub(super) agent: &'a Agent,
    pub(super) options: &'a HubOptions,
    pub(super) model: &'a HubModel,
}

/// What a revision is.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
}

/// What the Hub says of a file before it sends it.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    /// Its content's hash, which is its name in the cache.
    pub(super) hash: String,
    pub(super) size: Option<u64>,
}

/// A file that arrives.
pub(super) struct Arriving {
    pub(super) reader: Box<dyn Read>,
    /// The position of its first byte.
    pub(super) from: u64,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Remote<'_> {
    /// Asks which commit the revision is, and which files it has.
    pub(super) fn listing(&self) -> Result<Listing, HubError> {
        let HubOptions { endpoint, .. } = self.options;
        let wanted = self.model.revision();
        let revision = escaped(wanted, Slashes::Escape);
        let url = format!("{endpoint}/api/models/{}/revision/{revision}", self.model.repository());
        let (url, mut response) = self.ask(Asked::Get { from: 0 }, url)?;
        if response.status() != 200 {
            return Err(self.refusal(&url, &response, None));
        }
        let text = response.body_mut().with_config().limit(LISTING).read_to_vec();
        let text = text.map_err(|error| failed(&url, error))?;
        let Info { sha, siblings } = serde_json::from_slice(&text)
            .map_err(|error| answer(&url, format!("the list of files: {error}")))?;
        if !is_commit(&sha) {
            return Err(answer(&url, format!("`{}` is no commit", sha.escape_debug())));
        }
        if is_commit(wanted) && !sha.eq_ignore_ascii_case(wanted) {
            return Err(answer(&url, format!("commit {sha}, asked for {wanted}")));
        }
        let names: Vec<String> = siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        match names.iter().find(|name| !is_plain_path(name)) {
            Some(name) => Err(self.unsafe_name(name)),
            None => Ok(Listing { commit: sha, names }),
        }
    }

    /// Asks what a file is.
    pub(super) fn announced(&self, commit: &str, name: &str) -> Result<Announced, HubError> {
        let (url, response) = self.ask(Asked::Head, self.address(commit, name))?;
        if !(response.status().is_success() || response.status().is_redirection()) {
            return Err(self.refusal(&url, &response, Some(name)));
        }
        let headers = response.headers();
        if header(headers, "x-repo-commit").is_some_and(|found| found != commit) {
            return Err(answer(&url, "another commit"));
        }
        // Large files are elsewhere, and their own hash and size are in headers of their own.
        let hash = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
        let hash = hash.ok_or_else(|| answer(&url, "no ETag"))?;
        let hash = hash.trim_start_matches("W/").trim_matches('"');
        if !is_plain(hash) {
            return Err(self.unsafe_name(hash));
        }
        let own = || header(headers, "content-length").filter(|_| response.status().is_success());
        let size = header(headers, "x-linked-size").or_else(own);
        Ok(Announced { hash: hash.to_owned(), size: size.and_then(|size| size.parse().ok()) })
    }

    /// Asks for a file from a position on; a server may begin at 0 none the less.
    pub(super) fn open(&self, commit: &str, name: &str, from: u64) -> Result<Arriving, HubError> {
        // From the Hub each time: addresses of other servers are good for minutes only.
        let ask = |from| self.ask(Asked::Get { from }, self.address(commit, name));
        let (url, response) = match ask(from)? {
            // What is there is as long as the file, or longer, and nobody said how long that is.
            (_, response) if from > 0 && response.status() == 416 => ask(0)?,
            other => other,
        };
        let from = match response.status().as_u16() {
            200 => 0,
            206 => {
                let range = header(response.headers(), "content-range");
                let start = range.and_then(first_byte).filter(|start| *start == from);
                start.ok_or_else(|| {
                    answer(&url, format!("range {range:?}, expected one from byte {from}"))
                })?
            }
            _ => return Err(self.refusal(&url, &response, Some(name))),
        };
        Ok(Arriving { reader: reader(response), from })
    }

    fn address(&self, commit: &str, name: &str) -> String {
        let name = escaped(name, Slashes::Keep);
        format!("{}/{}/resolve/{commit}/{name}", self.options.endpoint, self.model.repository())
    }

    fn unsafe_name(&self, name: &str) -> HubError {
        HubError::UnsafeName {
            repository: self.model.repository().to_owned(),
            name: name.escape_debug().to_string(),
        }
    }
}

fn reader(response: Response<Body>) -> Box<dyn Read> {
    Box::new(response.into_body().into_reader())
}

/// The `5` of `bytes 5-9/10`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
