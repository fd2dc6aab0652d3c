//! Requests to the Hub.

use std::{io::Read, time::Duration};

use serde::Deserialize;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Request, Response},
};

use super::{
    HubError, HubModel, HubOptions,
    error::Token,
    names::{is_commit, is_plain, is_plain_path},
    url::{Slashes, escaped, is_same_origin, joined},
};

/// More redirects than these are a loop.
const REDIRECTS: usize = 8;

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

/// Whether a redirect to another server is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    Follow,
    Stay,
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

/// Connections to the Hub.
pub(super) fn agent(options: &HubOptions) -> Agent {
    let timeout = Some(options.timeout);
    // A list of files is made when it is asked for.
    let answer = options.timeout.max(Duration::from_secs(30));
    Agent::config_builder()
        .user_agent(concat!("sd-core/", env!("CARGO_PKG_VERSION")))
        .proxy(options.proxy.clone())
        // They say what is in the cache, and no token may go with them to other servers.
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_resolve(timeout)
        .timeout_connect(timeout)
        .timeout_recv_response(Some(answer))
        .timeout_per_read(timeout)
        .timeout_per_write(timeout)
        .build()
        .into()
}

impl Remote<'_> {
    /// Asks which commit the revision is, and which files it has.
    pub(super) fn listing(&self) -> Result<Listing, HubError> {
        let HubOptions { endpoint, .. } = self.options;
        let revision = escaped(self.model.revision(), Slashes::Escape);
        let url = format!("{endpoint}/api/models/{}/revision/{revision}", self.model.repository());
        let (url, mut response) = self.ask("GET", url, None, Elsewhere::Follow)?;
        if response.status() != 200 {
            return Err(self.refusal(url, &response, None));
        }
        let answer = |problem: String| HubError::Answer { url: url.clone(), problem };
        let text = response.body_mut().with_config().limit(LISTING).read_to_string();
        let text = text.map_err(|source| unreachable(&url, source))?;
        let Info { sha, siblings } = serde_json::from_str(&text)
            .map_err(|error| answer(format!("the list of files: {error}")))?;
        if !is_commit(&sha) {
            return Err(answer(format!("`{sha}` is no commit")));
        }
        let names: Vec<String> = siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        match names.iter().find(|name| !is_plain_path(name)) {
            Some(name) => Err(self.unsafe_name(name)),
            None => Ok(Listing { commit: sha, names }),
        }
    }

    /// Asks what a file is.
    pub(super) fn announced(&self, commit: &str, name: &str) -> Result<Announced, HubError> {
        let (url, response) =
            self.ask("HEAD", self.address(commit, name), None, Elsewhere::Stay)?;
        if !(response.status().is_success() || response.status().is_redirection()) {
            return Err(self.refusal(url, &response, Some(name)));
        }
        let answer = |problem: &str| HubError::Answer { url: url.clone(), problem: problem.into() };
        let headers = response.headers();
        if header(headers, "x-repo-commit").is_some_and(|found| found != commit) {
            return Err(answer("another commit"));
        }
        // Large files are elsewhere, and their own hash and size are in headers of their own.
        let hash = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
        let hash = hash.ok_or_else(|| answer("no ETag"))?;
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
        let from = Some(from).filter(|from| *from > 0);
        let (url, response) =
            self.ask("GET", self.address(commit, name), from, Elsewhere::Follow)?;
        let from = match response.status().as_u16() {
            200 => 0,
            206 => {
                let range = header(response.headers(), "content-range");
                let start = range.and_then(first_byte).filter(|start| Some(*start) == from);
                start.ok_or_else(|| HubError::Answer {
                    url,
                    problem: format!("range {range:?}, expected one from byte {from:?}"),
                })?
            }
            _ => return Err(self.refusal(url, &response, Some(name))),
        };
        Ok(Arriving { reader: Box::new(response.into_body().into_reader()), from })
    }

    fn address(&self, commit: &str, name: &str) -> String {
        let name = escaped(name, Slashes::Keep);
        format!("{}/{}/resolve/{commit}/{name}", self.options.endpoint, self.model.repository())
    }

    /// Sends a request, and goes where it is sent. The address that answered stands before the answer.
    fn ask(
        &self,
        method: &str,
        mut url: String,
        from: Option<u64>,
        elsewhere: Elsewhere,
    ) -> Result<(String, Response<Body>), HubError> {
        for _ in 0..=REDIRECTS {
            let response = self.send(method, &url, from)?;
            let location = header(response.headers(), "location");
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                return Ok((url, response));
            };
            let next = joined(&url, location);
            if elsewhere == Elsewhere::Stay && !is_same_origin(&next, &self.options.endpoint) {
                return Ok((url, response));
            }
            url = next;
        }
        Err(HubError::Answer { url, problem: "one redirect after the other".to_owned() })
    }

    fn send(&self, method: &str, url: &str, from: Option<u64>) -> Result<Response<Body>, HubError> {
        // Sizes and ranges are those of the file, not of what it is packed into on the way.
        let mut request =
            Request::builder().method(method).uri(url).header("accept-encoding", "identity");
        if let Some(token) = &self.options.token
            && is_same_origin(url, &self.options.endpoint)
        {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        let request = request.body(()).map_err(|source| unreachable(url, source))?;
        self.agent.run(request).map_err(|source| unreachable(url, source))
    }

    /// What a status that is no success means; `file` is what was asked for, if it was one.
    fn refusal(&self, url: String, response: &Response<Body>, file: Option<&str>) -> HubError {
        let status = response.status().as_u16();
        let token = if self.options.token.is_some() { Token::Sent } else { Token::None };
        let (endpoint, repository) =
            (self.options.endpoint.clone(), self.model.repository().to_owned());
        let revision = self.model.revision().to_owned();
        let no_file = |file: &str| HubError::NoFile {
            repository: repository.clone(),
            revision: revision.clone(),
            file: file.to_owned(),
            weights: Vec::new(),
        };
        match (status, header(response.headers(), "x-error-code"), file) {
            (401 | 403, Some("GatedRepo"), _) => HubError::Gated { endpoint, repository, token },
            (_, Some("RevisionNotFound"), _) => HubError::NoRevision { repository, revision },
            (_, Some("EntryNotFound"), Some(file)) | (404, None, Some(file)) => no_file(file),
            (404, ..) | (_, Some("RepoNotFound"), _) => {
                HubError::NoRepository { endpoint, repository, token }
            }
            // To those that it does not know, the Hub does not say which names there are.
            (401, ..) if token == Token::None => {
                HubError::NoRepository { endpoint, repository, token }
            }
            (401 | 403, ..) => HubError::Denied { endpoint, repository, status, token },
            _ => HubError::Status { url, status },
        }
    }

    fn unsafe_name(&self, name: &str) -> HubError {
        HubError::UnsafeName {
            repository: self.model.repository().to_owned(),
            name: name.escape_debug().to_string(),
        }
    }
}

fn unreachable(url: &str, source: impl std::error::Error + Send + Sync + 'static) -> HubError {
    HubError::Unreachable { url: url.to_owned(), source: Box::new(source) }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The `5` of `bytes 5-9/10`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
