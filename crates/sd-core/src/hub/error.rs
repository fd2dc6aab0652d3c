//! What can go wrong between here and the Hub.

use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be had from the Hub.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    /// A text that names no model.
    #[error("`{text}` names no model of the Hub: {expected}")]
    Name {
        /// The text.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// There is no home directory, and the environment names no other place.
    #[error(
        "no home directory for the cache of the Hub's files, so HF_HOME or HF_HUB_CACHE has to name a place"
    )]
    NoHome,
    /// The Hub has no such repository, or does not show it.
    #[error("{endpoint} has no model {repository}{}", access(.token))]
    NoRepository {
        /// The Hub's address.
        endpoint: String,
        /// `OWNER/MODEL`.
        repository: String,
        /// Whether a token was sent.
        token: Token,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repository} has no revision {revision}")]
    NoRevision {
        /// `OWNER/MODEL`.
        repository: String,
        /// What was asked for.
        revision: String,
    },
    /// The repository has no such file.
    #[error("{repository} has no file {file} at revision {revision}{}", others(.weights))]
    NoFile {
        /// `OWNER/MODEL`.
        repository: String,
        /// At which revision.
        revision: String,
        /// Which file.
        file: String,
        /// Files beside it that may hold weights.
        weights: Vec<String>,
    },
    /// The repository is no model in diffusers' layout.
    #[error(
        "{repository} has no model_index.json, so it is no model in diffusers' layout; a whole model in one file is named as {repository}/FILE{}",
        others(.weights)
    )]
    NoIndex {
        /// `OWNER/MODEL`.
        repository: String,
        /// Its files that may hold weights.
        weights: Vec<String>,
    },
    /// No component has weights of the variant asked for.
    #[error("{repository} has no weights of variant {variant}, {}", variants(.available))]
    NoVariant {
        /// `OWNER/MODEL`.
        repository: String,
        /// What was asked for.
        variant: String,
        /// The variants that it has.
        available: Vec<String>,
    },
    /// The owner wants his terms accepted.
    #[error(
        "{repository} is gated: accept its terms at {endpoint}/{repository}{}",
        sign(.token)
    )]
    Gated {
        /// The Hub's address.
        endpoint: String,
        /// `OWNER/MODEL`.
        repository: String,
        /// Whether a token was sent.
        token: Token,
    },
    /// The Hub refuses access.
    #[error("{endpoint} refuses access to {repository} (status {status}){}", sign(.token))]
    Denied {
        /// The Hub's address.
        endpoint: String,
        /// `OWNER/MODEL`.
        repository: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: Token,
    },
    /// In offline mode the cache lacks something.
    #[error(
        "{missing} of {repository} at revision {revision} is not in the cache {}, and offline mode (HF_HUB_OFFLINE) asks nothing of the Hub",
        cache.display()
    )]
    NotCached {
        /// `OWNER/MODEL`.
        repository: String,
        /// At which revision.
        revision: String,
        /// What is missing.
        missing: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The Hub does not answer.
    #[error("cannot reach {url}: {source}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the options say makes no request: an address that is none, a token with a line break in it.
    #[error("{url} cannot be asked for: {problem}")]
    Request {
        /// What was to be asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Another status than those above.
    #[error("{url} answers with status {status}, expected a file or a list of files")]
    Status {
        /// What was asked for.
        url: String,
        /// Which status.
        status: u16,
        /// Whose it is.
        server: Server,
    },
    /// An answer that is none of the Hub's.
    #[error("{url} answers as the Hub does not: {problem}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that is longer than such a file may be. It is not downloaded.
    #[error("such a file as {file} may have {limit} bytes, and it has {}", more(*.size))]
    TooLarge {
        /// Which file.
        file: String,
        /// How many bytes it has, if the Hub said so before it sent more than it may have.
        size: Option<u64>,
        /// How many it may have.
        limit: u64,
    },
    /// The connection broke. What has arrived is kept.
    #[error(
        "the connection broke after {received} of {} of {file} ({problem}); what has arrived is kept, and the next attempt goes on from there",
        bytes(*.expected)
    )]
    Interrupted {
        /// Which file.
        file: String,
        /// How many bytes of it are there.
        received: u64,
        /// How many it has, if the Hub said so.
        expected: Option<u64>,
        /// What happened.
        problem: String,
    },
    /// A file that is not the one that the Hub announced. It is not kept.
    #[error("{file} arrived broken: its {measure} is {found}, expected {expected}")]
    Corrupt {
        /// Which file.
        file: String,
        /// What was compared.
        measure: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A name that would lead out of the cache here or on another operating system: `..`, a backslash, a colon, a control
    /// character.
    #[error(
        "{repository} names a file `{name}`, which is no plain path inside of its folder; nothing of it is loaded"
    )]
    UnsafeName {
        /// `OWNER/MODEL`.
        repository: String,
        /// The name.
        name: String,
    },
    /// A file of the cache could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The operating system's own words.
        source: std::io::Error,
    },
}

/// Whether a request had a token with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Token {
    /// It had.
    Sent,
    /// It had none.
    None,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Server {
    /// The Hub.
    Hub,
    /// Another server, to which the Hub redirects for large files.
    Other,
}

impl HubError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the Hub, or the way there, is out of order: another time may go better, and the cache may have it all.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } => true,
            // Addresses of other servers are good for minutes, and the Hub gives new ones.
            Self::Status { status: 403, server: Server::Other, .. } => true,
            Self::Status { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

const GIVE: &str = "HF_TOKEN or `hf auth login` gives one";

fn access(token: &Token) -> String {
    match token {
        Token::None => format!(", or it is private and wants a token: {GIVE}"),
        Token::Sent => ", or it is private and the token may not read it".to_owned(),
    }
}

fn sign(token: &Token) -> String {
    match token {
        Token::None => format!(", and send a token of that account: {GIVE}"),
        Token::Sent => "; the token that was sent (HF_TOKEN, or that of `hf auth login`) is not of an account that may".to_owned(),
    }
}

fn others(files: &[String]) -> String {
    // Some repositories have hundreds.
    const SHOWN: usize = 8;
    match files {
        [] => String::new(),
        files if files.len() > SHOWN => {
            format!("; it has {} and {} others", files[..SHOWN].join(", "), files.len() - SHOWN)
        }
        files => format!("; it has {}", files.join(", ")),
    }
}

fn variants(available: &[String]) -> String {
    match available {
        [] => "only plain ones".to_owned(),
        available => format!("only {}", available.join(", ")),
    }
}

fn more(size: Option<u64>) -> String {
    size.map_or_else(|| "more".to_owned(), |size| size.to_string())
}

fn bytes(count: Option<u64>) -> String {
    count.map_or_else(|| "an unknown number of bytes".to_owned(), |count| format!("{count} bytes"))
}
