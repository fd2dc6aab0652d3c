use std::collections::HashSet;
use std::path::Path;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizedString, Normalizer, SplitDelimiterBehavior, Tokenizer};

use super::error::TokenizerError;
use super::settings::Settings;
use super::vocabulary::Vocabulary;

/// What the byte-pair model appends to a word's last symbol.
pub(super) const END_OF_WORD: &str = "</w>";

/// CLIP's words: special tokens, English contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Builds CLIP's pipeline around a vocabulary, without the framing by BOS and EOS.
pub(super) fn build(
    directory: &Path,
    vocabulary: Vocabulary,
    settings: &Settings,
) -> Result<Tokenizer, TokenizerError> {
    require_special_tokens(directory, &vocabulary, settings)?;
    let mut model = BPE::builder()
        .vocab_and_merges(vocabulary.ids, vocabulary.merges)
        .end_of_word_suffix(END_OF_WORD.to_owned());
    if let Some(unknown) = settings.content("unk_token") {
        model = model.unk_token(unknown.to_owned());
    }
    let mut tokenizer =
        Tokenizer::new(model.build().map_err(TokenizerError::backend("building the vocabulary"))?);
    with_text_stages(&mut tokenizer)
        .map_err(TokenizerError::backend("building the text pipeline"))?;
    tokenizer.set_encode_special_tokens(settings.split_special_tokens);

    let added = settings.registrations();
    added.iter().try_for_each(check_added_token)?;
    tokenizer.add_tokens(added).map_err(TokenizerError::backend("adding the special tokens"))?;
    check_distinct(&tokenizer)?;
    for (&declared, token) in &settings.added {
        match tokenizer.token_to_id(&token.content) {
            Some(found) if found != declared => {
                let token = token.content.clone();
                return Err(TokenizerError::AddedTokenId { token, declared, found });
            }
            _ => {}
        }
    }
    Ok(tokenizer)
}

/// Rejects tokens that the matcher cannot find, or on which it would fall over: a token that starts with white space can
/// begin inside the white space that a neighbour with `rstrip` has taken.
pub(super) fn check_added_token(token: &AddedToken) -> Result<(), TokenizerError> {
    let problem = match token.content.as_str() {
        "" => "it is empty",
        content if content.trim() != content => "it starts or ends with white space",
        _ => return Ok(()),
    };
    Err(TokenizerError::AddedToken { token: token.content.clone(), problem })
}

/// Rejects added tokens that are the same after normalisation: which of them a text gets would be left to chance.
pub(super) fn check_distinct(tokenizer: &Tokenizer) -> Result<(), TokenizerError> {
    let mut added: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    added.sort_unstable_by_key(|(id, _)| *id);
    let mut seen = HashSet::new();
    for (_, token) in added.into_iter().filter(|(_, token)| token.normalized) {
        let mut normalised = NormalizedString::from(token.content.as_str());
        if let Some(normalizer) = tokenizer.get_normalizer() {
            let failed = TokenizerError::backend("normalising an added token");
            normalizer.normalize(&mut normalised).map_err(failed)?;
        }
        if !seen.insert(normalised.get().to_owned()) {
            let problem =
                "it differs from another added token in no more than the case of its letters";
            return Err(TokenizerError::AddedToken { token: token.content, problem });
        }
    }
    Ok(())
}

/// Normalisation, splitting into words and bytes, and the way back.
fn with_text_stages(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    use tokenizers::normalizers::replace::ReplacePattern;

    let white_space = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    tokenizer.with_normalizer(Some(Normalizers::new(vec![
        NFC.into(),
        white_space.into(),
        Lowercase.into(),
    ])))?;
    // Inverted and removed: the matches stay, what lies between them (white space) goes.
    let words =
        Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    // transformers leaves `use_regex` on, so GPT-2's splitting runs over CLIP's words as well.
    let bytes = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
    tokenizer.with_decoder(Some(ByteLevelDecoder::default()));
    Ok(())
}

/// transformers gives a missing special token a new id past the embedding table; an error here is kinder than one there.
fn require_special_tokens(
    directory: &Path,
    vocabulary: &Vocabulary,
    settings: &Settings,
) -> Result<(), TokenizerError> {
    let added: HashSet<&str> =
        settings.added.values().map(|token| token.content.as_str()).collect();
    for role in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        let token = settings.content(role).unwrap_or_default();
        // The model itself falls back on the unknown token, and it does not see the added ones.
        let may_be_added = role != "unk_token" && added.contains(token);
        if !vocabulary.ids.contains_key(token) && !may_be_added {
            let (directory, token) = (directory.to_owned(), token.to_owned());
            return Err(TokenizerError::SpecialTokenMissing { directory, role, token });
        }
    }
    Ok(())
}
