//! Tokenizer directories for the tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The fixture directory with CLIP's own vocabulary, padding with `<|endoftext|>` as SD 1.x.
pub(crate) fn real() -> PathBuf {
    fixtures().join("clip-tokenizer")
}

/// The workspace's golden files.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A directory that a test writes, removed at its end.
pub(crate) struct Directory(TempDir);

impl Directory {
    /// An empty one.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A whole tokenizer of nine tokens: `vocab.json` and `merges.txt`.
    pub(crate) fn small() -> Self {
        let directory = Self::empty();
        directory.json("vocab.json", &small_vocab());
        directory.text("merges.txt", "#version: 0.2\na b</w>\nb a</w>\n");
        directory
    }

    /// The same tokenizer as a `tokenizer.json`.
    pub(crate) fn small_tokenizer_json() -> Self {
        let directory = Self::empty();
        directory.json("tokenizer.json", &small_tokenizer_json());
        directory
    }

    /// CLIP's own vocabulary with other files beside it.
    pub(crate) fn real_with(files: &[(&str, Value)]) -> Self {
        let directory = Self::empty();
        for name in ["vocab.json", "merges.txt"] {
            fs::copy(real().join(name), directory.path().join(name)).unwrap();
        }
        for (name, value) in files {
            directory.json(name, value);
        }
        directory
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn text(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    pub(crate) fn json(&self, name: &str, content: &Value) {
        self.text(name, content.to_string());
    }
}

/// `a b`, each also at the end of a word, two merges, BOS and EOS.
pub(crate) fn small_vocab() -> Value {
    json!({
        "a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "ba</w>": 5, "!": 6,
        "<|startoftext|>": 7, "<|endoftext|>": 8,
    })
}

pub(crate) fn small_tokenizer_json() -> Value {
    json!({
        "added_tokens": [{"id": 7, "content": "<|startoftext|>", "special": true}],
        "model": {
            "type": "BPE",
            "vocab": small_vocab(),
            "merges": ["a b</w>", ["b", "a</w>"]],
        },
    })
}

/// A special token as old repositories spell it out.
pub(crate) fn token(content: &str) -> Value {
    json!({
        "__type": "AddedToken", "content": content, "lstrip": false, "normalized": true,
        "rstrip": false, "single_word": false,
    })
}

/// `tokenizer_config.json` or `special_tokens_map.json` in the manner of SD's repositories.
pub(crate) fn special_tokens(pad: &str) -> Value {
    json!({
        "bos_token": token("<|startoftext|>"), "eos_token": token("<|endoftext|>"),
        "unk_token": token("<|endoftext|>"), "pad_token": pad, "model_max_length": 77,
    })
}
