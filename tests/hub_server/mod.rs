//! A Hub for tests on this machine: lists of files, redirects of large files to another server, ranges, and the ways in which
//! they fail. Each connection serves one request.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};

/// The commit of `main`.
pub(crate) const MAIN: &str = "00112233445566778899aabbccddeeff00112233";
/// The commit of `refs/pr/1`, which has the same files.
pub(crate) const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddcc";

/// A token that may read everything.
pub(crate) const TOKEN: &str = "hf_good";

/// Where the Hub sends those who ask for small files.
const CACHED: &str = "/api/resolve-cache";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Listing,
    /// A file, of the Hub itself.
    File,
    /// A file, of the server of large files.
    Large,
}

/// What the Hub has and does.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `OWNER/MODEL` → its files.
    pub(crate) repositories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Repositories whose files want [`TOKEN`].
    pub(crate) gated: Vec<String>,
    /// Files of which a request gets no more than so many bytes, once.
    pub(crate) cuts: BTreeMap<String, usize>,
    /// How long a connection is silent before it is cut.
    pub(crate) silence: Duration,
    /// Files that come with as many bytes too many as they have.
    pub(crate) doubled: Vec<String>,
    /// Files with another content than is announced.
    pub(crate) broken: Vec<String>,
    /// The hash that is announced for all files.
    pub(crate) hash: Option<String>,
    /// A status for every request.
    pub(crate) status: Option<u16>,
    /// A status for one request for such a part.
    pub(crate) stumbles: Vec<(Part, u16)>,
    /// The commit that every revision is said to be.
    pub(crate) commit: Option<&'static str>,
    /// The size that is announced for all files.
    pub(crate) size: Option<u64>,
    /// Whether large files come without their sizes.
    pub(crate) sizeless: bool,
    /// Whether large files are on the Hub's own server.
    pub(crate) near: bool,
    /// Whether ranges are ignored.
    pub(crate) whole: bool,
    /// What was asked for.
    pub(crate) requests: Vec<Request>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The first byte that is wanted.
    pub(crate) from: usize,
    pub(crate) token: Option<String>,
    /// Whether it came to the server of large files.
    pub(crate) large: bool,
}

/// The servers; they end with the test.
pub(crate) struct HubServer {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    /// A Hub with one repository, the files of a directory.
    pub(crate) fn of(repository: &str, directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(directory, "", &mut files);
        let state = State {
            repositories: BTreeMap::from([(repository.to_owned(), files)]),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let large = listen(state.clone(), None);
        let endpoint = listen(state.clone(), Some(large));
        Self { endpoint, state }
    }

    /// Changes what it has and does.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap())
    }

    /// Changes the files of its repository.
    pub(crate) fn files<R>(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> R) -> R {
        self.change(|state| change(state.repositories.values_mut().next().unwrap()))
    }

    /// The requests since this was asked last.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.change(|state| std::mem::take(&mut state.requests))
    }
}

fn collect(directory: &Path, before: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{before}{}", path.file_name().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => collect(&path, &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(&path).unwrap())),
        }
    }
}

/// Starts a server: the Hub, which knows that of large files, or that.
fn listen(state: Arc<Mutex<State>>, large: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, large) = (state.clone(), large.clone());
            thread::spawn(move || serve(stream, &state, large.as_deref()));
        }
    });
    address
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, large: Option<&str>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let is = |line: &&String| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        Some(headers.iter().find(is)?.split_once(": ")?.1.to_owned())
    };
    let mut words = first.split(' ').map(ToOwned::to_owned);
    let range = header("range");
    let request = Request {
        method: words.next()?,
        path: words.next()?.replace("%2F", "/"),
        from: range.and_then(|range| range[6..].trim_end_matches('-').parse().ok()).unwrap_or(0),
        token: header("authorization").map(|value| value.replace("Bearer ", "")),
        large: large.is_none(),
    };
    let (answer, silence) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        (answer(&mut state, &request, large), state.silence)
    };
    stream.write_all(&answer.head()).ok()?;
    if request.method == "GET" {
        stream.write_all(&answer.body[..answer.sent]).ok()?;
        if answer.sent < answer.body.len() {
            thread::sleep(silence);
        }
    }
    Some(())
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// How much of it is sent before the connection is cut.
    sent: usize,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, sent: body.len(), body }
    }

    fn refusal(status: u16, code: &str) -> Self {
        let code = (!code.is_empty()).then(|| ("X-Error-Code", code.to_owned()));
        Self::new(status, code.into_iter().collect(), b"no".to_vec())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", self.status);
        head += &format!("Content-Length: {}\r\n", self.body.len());
        self.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        (head + "\r\n").into_bytes()
    }
}

fn answer(state: &mut State, request: &Request, large: Option<&str>) -> Answer {
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
