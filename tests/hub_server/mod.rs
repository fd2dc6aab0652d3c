//! A Hub for tests on this machine: lists of files, redirects of large files to another server, ranges, and the ways in which
//! they fail. Each connection serves one request.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod answers;

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

use answers::answer;

/// The commit of `main`.
pub(crate) const MAIN: &str = "00112233445566778899aabbccddeeff00112233";
/// The commit of `refs/pr/1`, which has the same files.
pub(crate) const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddcc";

/// A token that may read everything.
pub(crate) const TOKEN: &str = "hf_good";

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
