//! CLIP's tokenizer, from the `tokenizer` directory of a diffusers repository.
//!
//! The vocabulary comes from `tokenizer.json` if that is there, else from `vocab.json` and `merges.txt`. The rest of the
//! pipeline is CLIP's own, whatever a `tokenizer.json` says about it, as in transformers' `CLIPTokenizer` (5.x): Unicode
//! NFC, white space collapsed, lower case, CLIP's words, bytes, byte-pair merges with `</w>`, BOS and EOS around.
//! Nothing fixes broken encodings (`ftfy`) and HTML entities stay, as there.
//!
//! # Which file says the padding token
//!
//! Stable Diffusion 2.x ships a `tokenizer_config.json` with `<|endoftext|>` and a `special_tokens_map.json` with `!`.
//! The rule of transformers, for every special token, with or without a `tokenizer.json`:
//! * if `tokenizer_config.json` has a key `added_tokens_decoder`, it alone counts;
//! * else `special_tokens_map.json` overrides it (so 2.x pads with `!`, id 0), and added tokens come from
//!   `added_tokens.json` and `tokenizer.json`.
//!
//! A special token is matched wherever it is written: with `!` as padding token, `hello!` is `hello</w>` and id 0,
//! not `hello</w>` and `!</w>` (id 256).

mod error;
mod files;
mod pipeline;
mod settings;
mod vocabulary;

use std::path::Path;

use tokenizers::{AddedToken, Tokenizer};

pub use error::TokenizerError;
use files::JsonFile;
use settings::{Settings, SettingsFiles};
use vocabulary::Vocabulary;

/// The length of a CLIP text encoder's input, for tokenizers that state none.
pub const DEFAULT_MAX_LENGTH: usize = 77;

/// The log shows at most so many characters of what was cut.
const LOGGED_CHARACTERS: usize = 200;

/// A prompt as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// BOS, the prompt's tokens, EOS, padding: as many ids as the tokenizer's maximum length.
    pub ids: Vec<u32>,
    /// How many of them stand before the padding, BOS and EOS included.
    pub length_without_padding: usize,
    /// The end of the prompt that did not fit, as the tokens say it (lower case, white space collapsed).
    pub truncated: Option<String>,
}

/// CLIP's byte-pair tokenizer.
///
/// ```no_run
/// use sd_clip::ClipTokenizer;
///
/// let tokenizer = ClipTokenizer::from_dir("stable-diffusion-v1-5/tokenizer")?;
/// let encoded = tokenizer.encode("a lighthouse at dusk")?;
/// assert_eq!(encoded.ids.len(), 77);
/// # Ok::<(), sd_clip::TokenizerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    backend: Tokenizer,
    bos_id: u32,
    eos_id: u32,
    pad_id: u32,
    max_length: usize,
}

impl ClipTokenizer {
    /// Loads the tokenizer of a directory: `tokenizer.json`, else `vocab.json` and `merges.txt`; beside them, where they
    /// exist, `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
    ///
    /// # Errors
    /// For missing, unreadable, malformed or contradictory files, and for special tokens without an id.
    pub fn from_dir(directory: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let directory = directory.as_ref();
        let files = SettingsFiles {
            config: JsonFile::read(directory.join("tokenizer_config.json"))?,
            special_tokens_map: JsonFile::read(directory.join("special_tokens_map.json"))?,
            added_tokens: JsonFile::read(directory.join("added_tokens.json"))?,
            tokenizer: JsonFile::read(directory.join("tokenizer.json"))?,
        };
        let vocabulary = Vocabulary::of(directory, files.tokenizer.as_ref())?;
        Self::new(directory, vocabulary, &Settings::resolve(&files)?)
    }

    /// Takes only the vocabulary of a directory (`tokenizer.json`, else `vocab.json` and `merges.txt`); the special tokens
    /// are CLIP's own, and `pad_token` fills up: `<|endoftext|>` for OpenAI's CLIP, `!` for OpenCLIP's models.
    ///
    /// For models without a tokenizer of their own: all of CLIP's share one vocabulary, and differ in the padding.
    ///
    /// # Errors
    /// As [`from_dir`](Self::from_dir).
    pub fn from_vocabulary(
        directory: impl AsRef<Path>,
        pad_token: &str,
    ) -> Result<Self, TokenizerError> {
        let directory = directory.as_ref();
        let tokenizer = JsonFile::read(directory.join("tokenizer.json"))?;
        let vocabulary = Vocabulary::of(directory, tokenizer.as_ref())?;
        Self::new(directory, vocabulary, &Settings::published(pad_token)?)
    }

    fn new(
        directory: &Path,
        vocabulary: Vocabulary,
        settings: &Settings,
    ) -> Result<Self, TokenizerError> {
        let backend = pipeline::build(directory, vocabulary, settings)?;
        let id = |role: &'static str| {
            let token = settings.content(role).unwrap_or_default();
            backend.token_to_id(token).ok_or_else(|| TokenizerError::SpecialTokenMissing {
                directory: directory.to_owned(),
                role,
                token: token.to_owned(),
            })
        };
        let (bos_id, eos_id, pad_id) = (id("bos_token")?, id("eos_token")?, id("pad_token")?);
        let max_length = settings.max_length.unwrap_or(DEFAULT_MAX_LENGTH);
        Ok(Self { backend, bos_id, eos_id, pad_id, max_length })
    }

    /// Sets the length of [`Encoded::ids`], in the place of the tokenizer's own: the positions of the text encoder.
    ///
    /// # Errors
    /// If there is no room for BOS and EOS.
    pub fn with_max_length(mut self, max_length: usize) -> Result<Self, TokenizerError> {
        if max_length < 2 {
            return Err(TokenizerError::MaxLength { found: max_length.to_string() });
        }
        self.max_length = max_length;
        Ok(self)
    }

    /// A prompt as the text encoder takes it: framed, cut and padded to [`max_length`](Self::max_length).
    ///
    /// What is cut is logged as a warning and returned in [`Encoded::truncated`].
    ///
    /// # Errors
    /// If the backend refuses the text; for a tokenizer that loaded, no such text is known.
    pub fn encode(&self, prompt: &str) -> Result<Encoded, TokenizerError> {
        let tokens = self.tokens(prompt)?;
        let room = self.max_length.saturating_sub(2);
        let (kept, cut) = tokens.split_at(tokens.len().min(room));
        let truncated = if cut.is_empty() { None } else { Some(self.decode(cut)?) };
        if let Some(text) = &truncated {
            let shown: String = text.chars().take(LOGGED_CHARACTERS).collect();
            let ellipsis = if shown.len() < text.len() { "…" } else { "" };
            tracing::warn!(
                max_length = self.max_length,
                tokens_cut = cut.len(),
                "the prompt is too long for the text encoder, cut: {shown}{ellipsis}"
            );
        }
        let length_without_padding = kept.len() + 2;
        Ok(Encoded { ids: self.frame(kept), length_without_padding, truncated })
    }

    /// The tokens of a text, neither framed nor cut: for prompt weights and for prompts longer than the text encoder.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .backend
            .encode_fast(text, false)
            .map_err(TokenizerError::backend("encoding a text"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// BOS, `tokens`, EOS and padding up to [`max_length`](Self::max_length); tokens that do not fit are left out.
    pub fn frame(&self, tokens: &[u32]) -> Vec<u32> {
        let room = self.max_length.saturating_sub(2);
        let mut ids = Vec::with_capacity(self.max_length);
        ids.push(self.bos_id);
        ids.extend(tokens.iter().take(room));
        ids.push(self.eos_id);
        ids.resize(self.max_length, self.pad_id);
        ids
    }

    /// The text of tokens, special tokens included; unknown ids are left out.
    ///
    /// # Errors
    /// If the backend refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let text =
            self.backend.decode(ids, false).map_err(TokenizerError::backend("decoding ids"))?;
        Ok(text.replace(pipeline::END_OF_WORD, " ").trim().to_owned())
    }

    /// Adds a token that stands for itself wherever it is written (textual inversion's placeholder), whatever the case of
    /// its letters. Returns its id, which is the old [`vocab_size`](Self::vocab_size): the row to append to the embedding.
    ///
    /// # Errors
    /// If the token exists, is empty, starts or ends with white space, or differs from an added token only in case.
    pub fn add_token(&mut self, token: &str) -> Result<u32, TokenizerError> {
        if let Some(id) = self.backend.token_to_id(token) {
            return Err(TokenizerError::TokenExists { token: token.to_owned(), id });
        }
        let added = AddedToken::from(token, false);
        pipeline::check_added_token(&added)?;
        // A refused token would stay behind half registered, so it is tried on a copy.
        let mut backend = self.backend.clone();
        backend.add_tokens([added]).map_err(TokenizerError::backend("adding a token"))?;
        pipeline::check_distinct(&backend)?;
        let missing =
            || TokenizerError::AddedToken { token: token.to_owned(), problem: "it got no id" };
        let id = backend.token_to_id(token).ok_or_else(missing)?;
        self.backend = backend;
        Ok(id)
    }

    /// The id that begins every input.
    pub fn bos_id(&self) -> u32 {
        self.bos_id
    }

    /// The id that ends every prompt.
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// The id that fills up.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// The length of [`Encoded::ids`]; [`DEFAULT_MAX_LENGTH`] if the files state none (or transformers' 10³⁰).
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The number of tokens, added ones included; ids are below it.
    pub fn vocab_size(&self) -> usize {
        self.backend.get_vocab_size(true)
    }
}
