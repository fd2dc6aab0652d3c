use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use super::error::TokenizerError;
use super::files::{JsonFile, wrong_type};

/// The named special tokens in the order in which transformers registers them, with CLIP's defaults.
const NAMED: [(&str, Option<&str>); 7] = [
    ("bos_token", Some("<|startoftext|>")),
    ("eos_token", Some("<|endoftext|>")),
    ("unk_token", Some("<|endoftext|>")),
    ("sep_token", None),
    ("pad_token", Some("<|endoftext|>")),
    ("cls_token", None),
    ("mask_token", None),
];

/// Lengths above this are transformers' way to say "not stated" (it writes 10³⁰).
const LONGEST: u64 = 1 << 20;

/// The files beside the vocabulary, where they exist.
#[derive(Debug, Default)]
pub(super) struct SettingsFiles {
    /// `tokenizer_config.json`.
    pub(super) config: Option<JsonFile>,
    /// `special_tokens_map.json`.
    pub(super) special_tokens_map: Option<JsonFile>,
    /// `added_tokens.json`.
    pub(super) added_tokens: Option<JsonFile>,
    /// `tokenizer.json`.
    pub(super) tokenizer: Option<JsonFile>,
}

/// A special token as a file gives it. The two forms differ: a bare text becomes a token that is matched before
/// normalisation, and transformers holds it to be different from an object with the same content.
#[derive(Debug, Clone, PartialEq)]
enum SpecialToken {
    Text(String),
    Object(AddedToken),
}

impl SpecialToken {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) => content,
            Self::Object(token) => &token.content,
        }
    }

    fn to_added_token(&self) -> AddedToken {
        match self {
            Self::Text(content) => AddedToken::from(content.clone(), true),
            Self::Object(token) => token.clone().special(true),
        }
    }
}

/// What the files say apart from the vocabulary, in the order of precedence of transformers (see the module's head).
#[derive(Debug)]
pub(super) struct Settings {
    named: BTreeMap<&'static str, SpecialToken>,
    extra: Vec<SpecialToken>,
    /// Declared added tokens by id.
    pub(super) added: BTreeMap<u32, AddedToken>,
    /// The stated maximum length, BOS and EOS included.
    pub(super) max_length: Option<usize>,
    /// Whether special tokens written in a text are read as plain text.
    pub(super) split_special_tokens: bool,
}

impl Settings {
    /// Merges the files.
    pub(super) fn resolve(files: &SettingsFiles) -> Result<Self, TokenizerError> {
        let mut settings = Self {
            named: BTreeMap::new(),
            extra: Vec::new(),
            added: BTreeMap::new(),
            max_length: None,
            split_special_tokens: false,
        };
        for (role, default) in NAMED {
            if let Some(text) = default {
                settings.named.insert(role, SpecialToken::Text(text.to_owned()));
            }
        }
        if let Some(config) = &files.config {
            settings.read_special_tokens(config)?;
            settings.max_length = read_max_length(config)?;
            settings.split_special_tokens =
                config.get_bool("split_special_tokens")?.unwrap_or(false);
            require_right(config, "padding_side")?;
            require_right(config, "truncation_side")?;
        }
        match files
            .config
            .as_ref()
            .and_then(|config| Some((config, config.object.get("added_tokens_decoder")?)))
        {
            Some((config, decoder)) => settings.read_added_tokens_decoder(&config.path, decoder)?,
            None => settings.read_legacy_files(files)?,
        }
        Ok(settings)
    }

    /// What CLIP's tokenizers are published with, but for the padding.
    ///
    /// BOS, EOS and the unknown token stand in their files as objects, which are matched behind normalisation, and the
    /// padding as text, which is matched before it.
    pub(super) fn published(pad_token: &str) -> Result<Self, TokenizerError> {
        let object = |content: &str| json!({ "content": content, "normalized": true });
        let (begin, end) = (object("<|startoftext|>"), object("<|endoftext|>"));
        let map = [("bos_token", begin), ("eos_token", end.clone()), ("unk_token", end)];
        let map = map.into_iter().chain([("pad_token", pad_token.into())]);
        let object = map.map(|(role, token)| (role.to_owned(), token)).collect();
        let path = "special_tokens_map.json".into();
        Self::resolve(&SettingsFiles {
            special_tokens_map: Some(JsonFile { path, object }),
            ..SettingsFiles::default()
        })
    }

    /// The text of a named special token; every one with a default has one.
    pub(super) fn content(&self, role: &str) -> Option<&str> {
        self.named.get(role).map(SpecialToken::content)
    }

    /// All tokens to register, in order; of several with the same text, the last counts.
    pub(super) fn registrations(&self) -> Vec<AddedToken> {
        let declared = |token: &SpecialToken| {
            self.added.values().any(|added| added.content == token.content())
        };
        let named = NAMED.iter().filter_map(|(role, _)| self.named.get(role));
        let mut special: Vec<&SpecialToken> = Vec::new();
        for token in named.chain(&self.extra) {
            if !declared(token) && !special.contains(&token) {
                special.push(token);
            }
        }
        self.added
            .values()
            .cloned()
            .chain(special.into_iter().map(SpecialToken::to_added_token))
            .collect()
    }

    /// Takes the special tokens of `tokenizer_config.json` or `special_tokens_map.json`, over what is there.
    fn read_special_tokens(&mut self, file: &JsonFile) -> Result<(), TokenizerError> {
        for (role, default) in NAMED {
            match file.object.get(role) {
                None => {}
                Some(Value::Null) if default.is_none() => {}
                Some(value) => {
                    self.named.insert(role, parse_special_token(&file.path, role, value)?);
                }
            }
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let values: Vec<&Value> = match file.get(key) {
                None => continue,
                Some(Value::Array(values)) => values.iter().collect(),
                Some(Value::Object(named)) => named.values().collect(),
                other => return Err(wrong_type(&file.path, key, "an array or an object", other)),
            };
            let parsed =
                values.into_iter().map(|value| parse_special_token(&file.path, key, value));
            self.extra = parsed.collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn read_added_tokens_decoder(
        &mut self,
        path: &Path,
        decoder: &Value,
    ) -> Result<(), TokenizerError> {
        let key = "added_tokens_decoder";
        let Value::Object(decoder) = decoder else {
            return Err(wrong_type(path, key, "an object", Some(decoder)));
        };
        for (id, value) in decoder {
            let key = format!("{key}.{id}");
            let (Ok(id), Value::Object(token)) = (id.parse(), value) else {
                return Err(wrong_type(path, key, "a token object under its id", Some(value)));
            };
            self.added.insert(id, parse_added_token(path, &key, token)?);
        }
        Ok(())
    }

    /// What transformers reads only where `tokenizer_config.json` declares no added tokens.
    fn read_legacy_files(&mut self, files: &SettingsFiles) -> Result<(), TokenizerError> {
        if let Some(map) = &files.special_tokens_map {
            self.read_special_tokens(map)?;
        }
        if let Some(file) = &files.added_tokens {
            for (content, value) in &file.object {
                let id = parse_id(&file.path, content, Some(value))?;
                let special =
                    self.named.values().chain(&self.extra).any(|token| token.content() == content);
                self.added.insert(id, AddedToken::from(content.clone(), special));
            }
        }
        let Some(file) = &files.tokenizer else { return Ok(()) };
        let entries = match file.get("added_tokens") {
            None => return Ok(()),
            Some(Value::Array(entries)) => entries,
            other => return Err(wrong_type(&file.path, "added_tokens", "an array", other)),
        };
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("added_tokens[{index}]");
            let Value::Object(token) = entry else {
                return Err(wrong_type(&file.path, key, "an object", Some(entry)));
            };
            let id = parse_id(&file.path, &format!("{key}.id"), token.get("id"))?;
            self.added.insert(id, parse_added_token(&file.path, &key, token)?);
        }
        Ok(())
    }
}

fn parse_id(path: &Path, key: &str, value: Option<&Value>) -> Result<u32, TokenizerError> {
    let id = value.and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| wrong_type(path, key, "a token id", value))
}

fn parse_special_token(
    path: &Path,
    key: &str,
    value: &Value,
) -> Result<SpecialToken, TokenizerError> {
    match value {
        Value::String(content) => Ok(SpecialToken::Text(content.clone())),
        Value::Object(token) => {
            Ok(SpecialToken::Object(parse_added_token(path, key, token)?.special(true)))
        }
        other => Err(wrong_type(path, key, "a token (a string or an object)", Some(other))),
    }
}

fn parse_added_token(
    path: &Path,
    key: &str,
    token: &Map<String, Value>,
) -> Result<AddedToken, TokenizerError> {
    let flag = |name: &str| match token.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        other => Err(wrong_type(path, format!("{key}.{name}"), "true or false", other)),
    };
    let Some(Value::String(content)) = token.get("content") else {
        return Err(wrong_type(path, format!("{key}.content"), "a string", token.get("content")));
    };
    let special = flag("special")?.unwrap_or(false);
    Ok(AddedToken::from(content.clone(), special)
        .single_word(flag("single_word")?.unwrap_or(false))
        .lstrip(flag("lstrip")?.unwrap_or(false))
        .rstrip(flag("rstrip")?.unwrap_or(false))
        .normalized(flag("normalized")?.unwrap_or(!special)))
}

/// Reads `model_max_length` (formerly `max_len`).
fn read_max_length(config: &JsonFile) -> Result<Option<usize>, TokenizerError> {
    let Some((key, value)) =
        ["model_max_length", "max_len"].into_iter().find_map(|key| Some((key, config.get(key)?)))
    else {
        return Ok(None);
    };
    match (value.as_u64(), value.as_f64()) {
        (Some(0 | 1), _) => Err(TokenizerError::MaxLength { found: value.to_string() }),
        (Some(length @ 2..=LONGEST), _) => Ok(usize::try_from(length).ok()),
        (_, Some(length)) if length > LONGEST as f64 => Ok(None),
        (_, Some(_)) => Err(TokenizerError::MaxLength { found: value.to_string() }),
        (_, None) => Err(wrong_type(&config.path, key, "a whole number", Some(value))),
    }
}

/// The text encoders read BOS at the front and padding at the end, so nothing but `right` makes sense.
fn require_right(config: &JsonFile, key: &'static str) -> Result<(), TokenizerError> {
    match config.get(key) {
        None => Ok(()),
        Some(Value::String(side)) if side == "right" => Ok(()),
        Some(Value::String(side)) => Err(TokenizerError::Unsupported {
            path: config.path.clone(),
            key,
            found: side.clone(),
            supported: "right",
        }),
        other => Err(wrong_type(&config.path, key, "a string", other)),
    }
}
