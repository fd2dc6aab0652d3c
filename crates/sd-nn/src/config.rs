//! JSON configurations of models, read as diffusers reads them.
//!
//! - A missing key has its class's default: `#[serde(default)]` on the configuration's type.
//! - Unknown keys are ignored, and keys that start with `_` are metadata, such as `_class_name`.
//! - `null` is a value of its own where Python says `Optional` (an `Option<T>`), and `false` for a flag
//!   ([`null_as_false`]).
//! - Of a key that stands twice the last counts.

mod value;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IntoDeserializer, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Map, Value};

pub use value::{ValueError, ValueProblem};

/// Longest JSON file that is read, in bytes.
pub const MAX_JSON_BYTES: u64 = 64 << 20;

/// Why a JSON file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
    /// A file that is too long for what it is.
    #[error("{} is longer than {MAX_JSON_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not JSON.
    #[error("{}, line {line}, column {column}: malformed JSON: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// A value of another type than the key has.
    #[error("{}: `{key}` is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Path of the key, such as `down_block_types[1]`.
        key: String,
        /// What the key takes.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A value that the key cannot have, or a key that is needed and missing.
    #[error("{}: `{key}`: {message}", path.display())]
    InvalidValue {
        /// The file.
        path: PathBuf,
        /// Path of the key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A configuration whose JSON has been read and whose values have not been looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    path: PathBuf,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`ConfigError`]: no such file, malformed JSON, or another value than an object.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Ok(Self { path: path.into(), values: read_json(path)? })
    }

    /// Takes JSON text; `path` stands in messages.
    ///
    /// # Errors
    /// As [`ConfigFile::open`].
    pub fn from_text(path: impl Into<PathBuf>, text: &str) -> Result<Self, ConfigError> {
        let path = path.into();
        Ok(Self { values: parse_json(&path, text.as_bytes())?, path })
    }

    /// Where the configuration was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The class that wrote the configuration: `_class_name` of diffusers.
    pub fn class_name(&self) -> Option<&str> {
        self.values.get("_class_name")?.as_str()
    }

    /// A value as it stands in the file, metadata included.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Keys and values, metadata included.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The configuration as a typed value, without the metadata.
    ///
    /// # Errors
    /// [`ConfigError::WrongType`] or [`ConfigError::InvalidValue`], which name the file and the key.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let values = self.values.iter().filter(|(key, _)| !key.starts_with('_'));
        let values: Map<String, Value> =
            values.map(|(key, value)| (key.clone(), value.clone())).collect();
        serde_path_to_error::deserialize(Value::Object(values))
            .map_err(|error| convert(&self.path, error))
    }

    /// An error about a value that has the right type and cannot be used.
    pub fn invalid(&self, key: impl Into<String>, message: impl fmt::Display) -> ConfigError {
        ConfigError::InvalidValue {
            path: self.path.clone(),
            key: key.into(),
            message: message.to_string(),
        }
    }
}

/// Reads a JSON file as a typed value.
///
/// # Errors
/// [`ConfigError`], which names the file and the line and column, or the key.
pub fn read_json<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    let path = path.as_ref();
    parse_json(path, &read_bytes(path)?)
}

/// Reads a text file of at most [`MAX_JSON_BYTES`], for those that are not quite JSON. A byte order mark is left out.
///
/// # Errors
/// [`ConfigError`]: no such file, too long, or not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, ConfigError> {
    let path = path.as_ref();
    let text = String::from_utf8(read_bytes(path)?).map_err(|error| ConfigError::Io {
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()),
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound { path: path.into() },
        _ => ConfigError::Io { path: path.into(), source },
    };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    match bytes.len() as u64 > MAX_JSON_BYTES {
        true => Err(ConfigError::TooLarge { path: path.into() }),
        false => Ok(bytes),
    }
}

fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ConfigError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value =
        serde_path_to_error::deserialize(&mut parser).map_err(|error| convert(path, error))?;
    parser.end().map_err(|error| malformed(path, &error))?;
    Ok(value)
}

fn convert(path: &Path, error: serde_path_to_error::Error<serde_json::Error>) -> ConfigError {
    if !error.inner().is_data() {
        return malformed(path, error.inner());
    }
    let (path, key, message) = (path.into(), error.path().to_string(), message(error.inner()));
    let wrong =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "));
    match wrong {
        Some((found, expected)) => {
            ConfigError::WrongType { path, key, expected: expected.into(), found: found.into() }
        }
        None => ConfigError::InvalidValue { path, key, message },
    }
}

fn malformed(path: &Path, error: &serde_json::Error) -> ConfigError {
    ConfigError::Malformed {
        path: path.into(),
        line: error.line(),
        column: error.column(),
        message: message(error),
    }
}

/// The parser's words without the position, which has its own place.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).map(Into::into).unwrap_or(text)
}

/// For `#[serde(deserialize_with = "null_as_false")]`: a flag that Python leaves at `None`.
///
/// # Errors
/// When the value is neither a boolean nor `null`.
pub fn null_as_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(false))
}

/// A value for all, or a list with one for each: `attention_head_dim: 8` or `[5, 10, 20, 20]`.
///
/// Nests: `OneOrMany<OneOrMany<usize>>` reads `transformer_layers_per_block: [1, [2, 3], 10]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One value for all.
    One(T),
    /// One value for each.
    Many(Vec<T>),
}

/// A list that is not as long as what it configures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one value or {expected}, found {found}")]
pub struct WrongLength {
    /// Values needed.
    pub expected: usize,
    /// Values in the list.
    pub found: usize,
}

impl<T: Clone> OneOrMany<T> {
    /// One value for each of `count`.
    ///
    /// # Errors
    /// [`WrongLength`] when a list has another length.
    pub fn expand(&self, count: usize) -> Result<Vec<T>, WrongLength> {
        match self {
            Self::One(value) => Ok(vec![value.clone(); count]),
            Self::Many(values) if values.len() == count => Ok(values.clone()),
            Self::Many(values) => Err(WrongLength { expected: count, found: values.len() }),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(std::marker::PhantomData))
    }
}

/// By hand, because serde's untagged enums do not say what was wrong.
struct OneOrManyVisitor<T>(std::marker::PhantomData<T>);

macro_rules! visit_one {
    ($($visit:ident: $value:ty),*) => {$(
        fn $visit<E: serde::de::Error>(self, value: $value) -> Result<Self::Value, E> {
            T::deserialize(value.into_deserializer()).map(OneOrMany::One)
        }
    )*};
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list")
    }

    visit_one!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str, visit_string: String);

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        T::deserialize(().into_deserializer()).map(OneOrMany::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
    }
}

/// A height and a width, given as one number or as `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size2 {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size2 {
    /// As high as wide.
    pub const fn square(size: usize) -> Self {
        Self { height: size, width: size }
    }
}

impl<'de> Deserialize<'de> for Size2 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match OneOrMany::<usize>::deserialize(deserializer)? {
            OneOrMany::One(size) => Ok(Self::square(size)),
            OneOrMany::Many(sizes) => match sizes[..] {
                [height, width] => Ok(Self { height, width }),
                _ => Err(serde::de::Error::custom(format_args!(
                    "expected one size or [height, width], found {sizes:?}"
                ))),
            },
        }
    }
}

impl Serialize for Size2 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.height, self.width].serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
