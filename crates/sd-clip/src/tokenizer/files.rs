use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::TokenizerError;

/// The largest file that is read; the real `tokenizer.json` has 3.6 MB.
const SIZE_LIMIT: u64 = 64 << 20;

/// Reads a text file of the tokenizer, or `None` if there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, TokenizerError> {
    let io = |source| TokenizerError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io(error)),
    };
    let mut text = String::new();
    // The limit holds for what is read, not for what the file system says: a pipe or a device has no length.
    file.take(SIZE_LIMIT + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > SIZE_LIMIT {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), limit: SIZE_LIMIT });
    }
    Ok(Some(text))
}

/// A JSON object in a file, remembering the path for the errors.
#[derive(Debug)]
pub(super) struct JsonFile {
    pub(super) path: PathBuf,
    pub(super) object: Map<String, Value>,
}

impl JsonFile {
    /// Reads a file that must hold a JSON object, or `None` if there is no such file.
    pub(super) fn read(path: PathBuf) -> Result<Option<Self>, TokenizerError> {
        let Some(text) = read_text(&path)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(Some(Self { path, object })),
            Ok(other) => Err(wrong_type(&path, "the whole file", "an object", Some(&other))),
            Err(source) => Err(TokenizerError::Json { path, source }),
        }
    }

    /// The value of `key`; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The boolean `key`, or `None` if it is absent.
    pub(super) fn get_bool(&self, key: &str) -> Result<Option<bool>, TokenizerError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| wrong_type(&self.path, key, "true or false", Some(value)))
    }
}

/// The error for a value of the wrong type (`None`: absent).
pub(super) fn wrong_type(
    path: &Path,
    key: impl Into<String>,
    expected: &'static str,
    found: Option<&Value>,
) -> TokenizerError {
    let found = match found {
        None => "nothing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Number(value)) => format!("the number {value}"),
        Some(Value::String(_)) => "a string".to_owned(),
        Some(Value::Array(_)) => "an array".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    };
    TokenizerError::WrongType { path: path.to_owned(), key: key.into(), expected, found }
}
