use std::path::PathBuf;

/// What can be wrong with the files of a tokenizer, or with a request to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The directory, or the files that make a tokenizer, are not there.
    #[error("no CLIP tokenizer in {}: looked for {looked_for}", directory.display())]
    Missing {
        /// The directory that was given.
        directory: PathBuf,
        /// The file names that would have done.
        looked_for: &'static str,
    },
    /// A file exists but cannot be read, or is no UTF-8 text.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file is larger than any tokenizer's.
    #[error("{} is larger than {limit} bytes, too large for a tokenizer file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size that is read, in bytes.
        limit: u64,
    },
    /// A file is not JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: serde_json::Error,
    },
    /// A JSON value is absent or has the wrong type.
    #[error("{}: `{key}` must be {expected}, found {found}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Where in the file, for instance `pad_token.lstrip`.
        key: String,
        /// What was expected.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A merge rule is malformed, or speaks of tokens that the vocabulary lacks.
    #[error("{}: merge rule at {place}: {problem}", path.display())]
    Merge {
        /// The file.
        path: PathBuf,
        /// `line 7` of `merges.txt` (the first line is 1), or `model.merges[6]` of `tokenizer.json`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A token's id is not below the number of tokens, so the ids cannot be contiguous.
    #[error("{}: token {token:?} has id {id}, but a vocabulary of {size} tokens ends at {}", path.display(), size.saturating_sub(1))]
    IdOutOfRange {
        /// The file.
        path: PathBuf,
        /// The token.
        token: String,
        /// Its id.
        id: u64,
        /// The number of tokens in the vocabulary.
        size: usize,
    },
    /// Two tokens share an id, so another id is missing.
    #[error("{}: tokens {first:?} and {second:?} share id {id}", path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: u64,
        /// The one token.
        first: String,
        /// The other token.
        second: String,
    },
    /// A special token that the text encoder needs stands neither in the vocabulary nor among the added tokens.
    #[error("{role} {token:?} is not in the vocabulary of {}", directory.display())]
    SpecialTokenMissing {
        /// The tokenizer's directory.
        directory: PathBuf,
        /// `bos_token`, `eos_token`, `pad_token` or `unk_token`.
        role: &'static str,
        /// Its text.
        token: String,
    },
    /// An added token's text cannot be matched in a prompt.
    #[error("token {token:?} cannot be added: {problem}")]
    AddedToken {
        /// Its text.
        token: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file declares an id for an added token which that token does not get.
    #[error(
        "added token {token:?} is declared with id {declared}, but its place in the vocabulary is {found}"
    )]
    AddedTokenId {
        /// Its text.
        token: String,
        /// The id in the file.
        declared: u32,
        /// The id that follows from the vocabulary.
        found: u32,
    },
    /// The token to be added exists already.
    #[error("token {token:?} exists already, with id {id}")]
    TokenExists {
        /// Its text.
        token: String,
        /// Its id.
        id: u32,
    },
    /// A maximum length that leaves no room, or is no length at all.
    #[error("maximum length {found} is not a whole number of at least 2 (BOS and EOS)")]
    MaxLength {
        /// What was given.
        found: String,
    },
    /// A setting that the text encoders of Stable Diffusion cannot work with.
    #[error("{}: `{key}` is {found:?}, only {supported:?} is supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// The value that is supported.
        supported: &'static str,
    },
    /// The `tokenizers` crate refused.
    #[error("tokenizer failed while {action}: {source}")]
    Backend {
        /// What it was asked to do.
        action: &'static str,
        /// Its reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TokenizerError {
    /// Wraps an error of the `tokenizers` crate.
    pub(super) fn backend(action: &'static str) -> impl FnOnce(tokenizers::Error) -> Self {
        move |source| Self::Backend { action, source }
    }
}
