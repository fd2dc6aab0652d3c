use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::models::bpe::{Merges, Vocab};

use super::error::TokenizerError;
use super::files::{JsonFile, read_text, wrong_type};

/// A checked byte-pair vocabulary: the ids are exactly `0..len`, and every merge rule joins two tokens into a third.
///
/// The `tokenizers` crate trusts what it is given (a merge rule whose result is no token makes it panic), so everything
/// is checked here.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) ids: Vocab,
    pub(super) merges: Merges,
}

impl Vocabulary {
    /// The vocabulary of a directory: that of its `tokenizer.json`, if there is one.
    pub(super) fn of(
        directory: &Path,
        tokenizer: Option<&JsonFile>,
    ) -> Result<Self, TokenizerError> {
        let vocabulary = match tokenizer {
            Some(file) => Some(Self::from_tokenizer_json(file)?),
            None => Self::from_vocab_and_merges(
                directory.join("vocab.json"),
                directory.join("merges.txt"),
            )?,
        };
        vocabulary.ok_or_else(|| TokenizerError::Missing {
            directory: directory.to_owned(),
            looked_for: "tokenizer.json, or vocab.json with merges.txt",
        })
    }

    /// Takes the vocabulary out of a `tokenizer.json`.
    pub(super) fn from_tokenizer_json(file: &JsonFile) -> Result<Self, TokenizerError> {
        let model = match file.get("model") {
            Some(Value::Object(model)) => model,
            other => return Err(wrong_type(&file.path, "model", "an object", other)),
        };
        if let Some(kind) = model.get("type").filter(|kind| *kind != "BPE") {
            return Err(TokenizerError::Unsupported {
                path: file.path.clone(),
                key: "model.type",
                found: kind.as_str().map_or_else(|| kind.to_string(), str::to_owned),
                supported: "BPE",
            });
        }
        let ids = match model.get("vocab") {
            Some(Value::Object(vocab)) => parse_ids(&file.path, "model.vocab.", vocab)?,
            other => return Err(wrong_type(&file.path, "model.vocab", "an object", other)),
        };
        let Some(Value::Array(entries)) = model.get("merges") else {
            return Err(wrong_type(&file.path, "model.merges", "an array", model.get("merges")));
        };
        let mut checker =
            MergeChecker { path: &file.path, ids: &ids, merges: Vec::with_capacity(entries.len()) };
        for (index, entry) in entries.iter().enumerate() {
            let place = || format!("model.merges[{index}]");
            match entry {
                Value::String(rule) => checker.push_text(rule, place)?,
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(left), Value::String(right)] => {
                        checker.push(left, right, place)?
                    }
                    _ => return Err(checker.error(place, "expected two tokens".to_owned())),
                },
                other => {
                    return Err(wrong_type(
                        &file.path,
                        place(),
                        "a string or a pair of strings",
                        Some(other),
                    ));
                }
            }
        }
        let merges = checker.merges;
        Ok(Self { ids, merges })
    }

    /// Reads `vocab.json` and `merges.txt`, or `None` if either is missing.
    pub(super) fn from_vocab_and_merges(
        vocab: PathBuf,
        merges: PathBuf,
    ) -> Result<Option<Self>, TokenizerError> {
        let Some(file) = JsonFile::read(vocab)? else { return Ok(None) };
        let Some(text) = read_text(&merges)? else { return Ok(None) };
        let ids = parse_ids(&file.path, "", &file.object)?;
        let mut checker = MergeChecker { path: &merges, ids: &ids, merges: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            if !line.is_empty() && !line.starts_with("#version") {
                checker.push_text(line, || format!("line {}", index + 1))?;
            }
        }
        let merges = checker.merges;
        Ok(Some(Self { ids, merges }))
    }
}

/// Reads the ids and checks that they are unique and below their number, hence contiguous.
fn parse_ids(
    path: &Path,
    prefix: &str,
    vocab: &Map<String, Value>,
) -> Result<Vocab, TokenizerError> {
    let size = vocab.len();
    let mut owner: Vec<Option<&str>> = vec![None; size];
    let mut ids = Vocab::default();
    for (token, value) in vocab {
        let id = value.as_u64().ok_or_else(|| {
            wrong_type(path, format!("{prefix}{token}"), "a token id", Some(value))
        })?;
        let slot = usize::try_from(id).ok().and_then(|index| owner.get_mut(index));
        let (Some(slot), Ok(id32)) = (slot, u32::try_from(id)) else {
            return Err(TokenizerError::IdOutOfRange {
                path: path.to_owned(),
                token: token.clone(),
                id,
                size,
            });
        };
        if let Some(first) = slot.replace(token) {
            let (first, second) = (first.to_owned(), token.clone());
            return Err(TokenizerError::DuplicateId { path: path.to_owned(), id, first, second });
        }
        ids.insert(token.clone(), id32);
    }
    Ok(ids)
}

/// Collects merge rules and checks them against the vocabulary.
struct MergeChecker<'a> {
    path: &'a Path,
    ids: &'a Vocab,
    merges: Merges,
}

impl MergeChecker<'_> {
    /// Adds a rule written as two tokens with one space between.
    fn push_text(&mut self, rule: &str, place: impl Fn() -> String) -> Result<(), TokenizerError> {
        match rule.split_once(' ') {
            Some((left, right))
                if !left.is_empty() && !right.is_empty() && !right.contains(' ') =>
            {
                self.push(left, right, place)
            }
            _ => Err(self.error(
                place,
                format!("expected two tokens and one space between, found {rule:?}"),
            )),
        }
    }

    /// Adds the rule that joins `left` and `right`.
    fn push(
        &mut self,
        left: &str,
        right: &str,
        place: impl Fn() -> String,
    ) -> Result<(), TokenizerError> {
        for token in [left, right, &format!("{left}{right}")] {
            if !self.ids.contains_key(token) {
                return Err(self.error(place, format!("{token:?} is not in the vocabulary")));
            }
        }
        self.merges.push((left.to_owned(), right.to_owned()));
        Ok(())
    }

    fn error(&self, place: impl Fn() -> String, problem: String) -> TokenizerError {
        TokenizerError::Merge { path: self.path.to_owned(), place: place(), problem }
    }
}
