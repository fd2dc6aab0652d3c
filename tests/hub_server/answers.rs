//! What the Hub and the server of large files answer.

use sha2::{Digest, Sha256};

use super::{MAIN, OTHER, Part, Request, State, TOKEN};

/// Where the Hub sends those who ask for small files.
const CACHED: &str = "/api/resolve-cache";

pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// How much of it is sent before the connection is cut.
    pub(super) sent: usize,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, sent: body.len(), body }
    }

    fn refusal(status: u16, code: &str) -> Self {
        let code = (!code.is_empty()).then(|| ("X-Error-Code", code.to_owned()));
        Self::new(status, code.into_iter().collect(), b"no".to_vec())
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", self.status);
        head += &format!("Content-Length: {}\r\n", self.body.len());
        self.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        (head + "\r\n").into_bytes()
    }
}

pub(super) fn answer(state: &mut State, request: &Request, large: Option<&str>) -> Answer {
    if let Some(status) = state.status {
        return Answer::refusal(status, "");
    }
    let Some((repository, rest)) = split(&request.path) else {
        return Answer::refusal(404, "");
    };
    let part = match (rest.starts_with("revision/"), request.large) {
        (true, _) => Part::Listing,
        (_, true) => Part::Large,
        _ => Part::File,
    };
    if let Some(at) = state.stumbles.iter().position(|(stumbling, _)| *stumbling == part) {
        return Answer::refusal(state.stumbles.remove(at).1, "");
    }
    let Some(files) = state.repositories.get(&repository) else {
        return Answer::refusal(401, "RepoNotFound");
    };
    let commit = |revision: &str| match revision {
        "main" | MAIN => Some(MAIN),
        "refs/pr/1" | OTHER => Some(OTHER),
        _ => None,
    };
    if let Some(revision) = rest.strip_prefix("revision/") {
        let Some(commit) = commit(revision) else {
            return Answer::refusal(404, "RevisionNotFound");
        };
        let siblings: Vec<_> =
            files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let sha = state.commit.unwrap_or(commit);
        let listing = serde_json::json!({ "sha": sha, "siblings": siblings });
        return Answer::new(200, Vec::new(), listing.to_string().into_bytes());
    }
    let found = rest.strip_prefix("resolve/").and_then(|rest| rest.split_once('/'));
    let found = found.and_then(|(revision, name)| Some((commit(revision)?, name)));
    let Some((commit, name, content)) =
        found.and_then(|(commit, name)| Some((commit, name.to_owned(), files.get(name)?.clone())))
    else {
        return Answer::refusal(404, "EntryNotFound");
    };
    if state.gated.contains(&repository)
        && large.is_some()
        && request.token.as_deref() != Some(TOKEN)
    {
        return Answer::refusal(if request.token.is_some() { 403 } else { 401 }, "GatedRepo");
    }
    let is_near = request.path.starts_with(CACHED);
    match large {
        Some(large) if is_large(&name) && !is_near => {
            let place = if state.near { CACHED } else { large };
            redirect(state, place, request, commit, &content)
        }
        Some(_) if !is_near => {
            let headers = vec![("Location", format!("{CACHED}{}", request.path))];
            Answer::new(307, headers, b"a little further".to_vec())
        }
        _ => file(state, request, commit, &name, content),
    }
}

/// `OWNER/MODEL`, and what comes after it.
fn split(path: &str) -> Option<(String, &str)> {
    let path = path.strip_prefix(CACHED).unwrap_or(path).strip_prefix('/')?;
    let path = path.strip_prefix("api/models/").unwrap_or(path);
    let (owner, rest) = path.split_once('/')?;
    let (model, rest) = rest.split_once('/')?;
    Some((format!("{owner}/{model}"), rest))
}

pub(crate) fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".ckpt"].iter().any(|end| name.ends_with(end))
}

/// What stands for Git's hash, and is as long.
pub(crate) fn git_hash(content: &[u8]) -> String {
    sha256(content)[..40].to_owned()
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn redirect(state: &State, place: &str, request: &Request, commit: &str, content: &[u8]) -> Answer {
    let mut headers = vec![
        ("Location", format!("{place}{}", request.path)),
        ("X-Repo-Commit", commit.to_owned()),
        ("X-Linked-Etag", format!("\"{}\"", state.hash.clone().unwrap_or_else(|| sha256(content)))),
        ("ETag", "\"of the redirect\"".to_owned()),
    ];
    if !state.sizeless {
        headers.push(("X-Linked-Size", content.len().to_string()));
    }
    Answer::new(302, headers, b"elsewhere".to_vec())
}

fn file(
    state: &mut State,
    request: &Request,
    commit: &str,
    name: &str,
    mut content: Vec<u8>,
) -> Answer {
    let hash = state.hash.clone().unwrap_or_else(|| git_hash(&content));
    if state.broken.iter().any(|broken| broken == name) {
        content.reverse();
    }
    if state.doubled.iter().any(|doubled| doubled == name) {
        content.extend_from_within(..);
    }
    let mut headers = vec![("ETag", format!("W/\"{hash}\"")), ("X-Repo-Commit", commit.to_owned())];
    headers.extend(state.size.map(|size| ("X-Linked-Size", size.to_string())));
    let size = content.len();
    if request.from >= size && size > 0 && !state.whole {
        return Answer::refusal(416, "");
    }
    let (status, from) = match request.from {
        from if from > 0 && !state.whole => (206, from),
        _ => (200, 0),
    };
    if status == 206 {
        headers.push(("Content-Range", format!("bytes {from}-{}/{size}", size - 1)));
    }
    let mut answer = Answer::new(status, headers, content.split_off(from));
    if request.method == "GET"
        && let Some(sent) = state.cuts.remove(name)
    {
        answer.sent = sent;
    }
    answer
}
