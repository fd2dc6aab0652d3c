//! The words of captions, and a byte-pair vocabulary of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{
    folder::{FolderError, make_directory, write_text},
    wording::texts,
};

/// All words that captions can contain, sorted. Digits and the comma are words, too.
pub fn words() -> Vec<String> {
    let mut words = BTreeSet::new();
    for text in texts() {
        let mut outside = text;
        while let Some((before, rest)) = outside.split_once('{') {
            words.extend(split_words(before));
            outside = rest.split_once('}').map_or("", |(_, after)| after);
        }
        words.extend(split_words(outside));
    }
    words.into_iter().collect()
}

/// A caption's words as CLIP's tokenizer divides it: runs of letters, single digits, runs of other characters.
pub fn split_words(text: &str) -> Vec<String> {
    let kind = |character: char| match character {
        _ if character.is_whitespace() => 0,
        _ if character.is_alphabetic() => 1,
        _ if character.is_numeric() => 2,
        _ => 3,
    };
    let mut words: Vec<String> = Vec::new();
    let mut last = 0;
    for character in text.chars() {
        match (kind(character), words.last_mut()) {
            (0, _) => {}
            (now, Some(word)) if now == last && now != 2 => word.push(character),
            _ => words.push(character.to_string()),
        }
        last = kind(character);
    }
    words
}

/// A byte-level BPE vocabulary in the form of CLIP's: `vocab.json` and `merges.txt` of a `CLIPTokenizer`.
///
/// The ids are those of the 256 bytes, of the 256 bytes at the end of a word, of the results of the merges, of
/// [`START`](Self::START) and of [`END`](Self::END), in this order. Each of [`words`] is one token; any other text falls
/// apart into more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bpe {
    tokens: Vec<String>,
    merges: Vec<(String, String)>,
}

/// What CLIP writes after the last letter of a word.
const END_OF_WORD: &str = "</w>";

impl Bpe {
    /// The token before a text.
    pub const START: &str = "<|startoftext|>";
    /// The token after a text, for padding, and for what is unknown.
    pub const END: &str = "<|endoftext|>";

    /// The vocabulary of this world's words.
    pub fn of_world() -> Self {
        Self::train(&words())
    }

    /// Merges the pair of symbols that is in most words, until each word is one symbol.
    ///
    /// Merges are applied in the order in which they were found, so each word ends as one symbol there, too.
    fn train(words: &[String]) -> Self {
        let characters = byte_characters();
        let mut tokens: Vec<String> = characters.iter().map(char::to_string).collect();
        tokens.extend(characters.iter().map(|character| format!("{character}{END_OF_WORD}")));
        let mut words: Vec<Vec<String>> = words.iter().map(|word| symbols(word)).collect();
        let mut merges = Vec::new();
        loop {
            let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for pair in words.iter().flat_map(|word| word.windows(2)) {
                *counts.entry((&pair[0], &pair[1])).or_default() += 1;
            }
            // Of pairs that are equally frequent, the first in the order of the alphabet.
            let best = counts.into_iter().rev().max_by_key(|&(_, count)| count);
            let Some(((left, right), _)) = best else { break };
            let merge = (left.to_owned(), right.to_owned());
            words = words.into_iter().map(|word| apply(&merge, word)).collect();
            tokens.push(format!("{}{}", merge.0, merge.1));
            merges.push(merge);
        }
        tokens.extend([Self::START.to_owned(), Self::END.to_owned()]);
        Self { tokens, merges }
    }

    /// The tokens by their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The merges, the first to be applied first.
    pub fn merges(&self) -> &[(String, String)] {
        &self.merges
    }

    /// The content of `vocab.json`.
    pub fn vocab_json(&self) -> String {
        let lines: Vec<String> = (self.tokens.iter().enumerate())
            .map(|(id, token)| format!("  {}: {id}", serde_json::Value::from(token.as_str())))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }

    /// The content of `merges.txt`.
    pub fn merges_txt(&self) -> String {
        let mut text = "#version: 0.2\n".to_owned();
        for (left, right) in &self.merges {
            text.push_str(&format!("{left} {right}\n"));
        }
        text
    }

    /// Writes `vocab.json` and `merges.txt` into a directory, which is made if need be.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, directory: impl AsRef<Path>) -> Result<(), FolderError> {
        let directory = directory.as_ref();
        make_directory(directory)?;
        write_text(directory.join("vocab.json"), &self.vocab_json())?;
        write_text(directory.join("merges.txt"), &self.merges_txt())
    }
}

/// A word's characters for its bytes, the last with the end of the word.
fn symbols(word: &str) -> Vec<String> {
    let characters = byte_characters();
    let order = byte_order();
    let mut symbols: Vec<String> = word
        .bytes()
        .filter_map(|byte| order.iter().position(|&other| other == byte))
        .map(|index| characters[index].to_string())
        .collect();
    if let Some(last) = symbols.last_mut() {
        last.push_str(END_OF_WORD);
    }
    symbols
}

/// Joins every occurrence of the pair, from the left.
fn apply((left, right): &(String, String), word: Vec<String>) -> Vec<String> {
    let mut merged: Vec<String> = Vec::with_capacity(word.len());
    let mut can_merge = false;
    for symbol in word {
        match merged.last_mut() {
            Some(last) if can_merge && last == left && symbol == *right => {
                last.push_str(right);
                can_merge = false;
            }
            _ => {
                merged.push(symbol);
                can_merge = true;
            }
        }
    }
    merged
}

/// The bytes that are printed as themselves in Latin-1.
fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// All bytes in the order of CLIP's vocabulary: the printable ones come first.
fn byte_order() -> Vec<u8> {
    let (mut order, rest): (Vec<u8>, Vec<u8>) = (0..=255).partition(|&byte| is_printable(byte));
    order.extend(rest);
    order
}

/// The characters that stand for the bytes, in that order: a printable byte's own, then those from U+0100.
fn byte_characters() -> Vec<char> {
    let order = byte_order();
    let printable = order.iter().take_while(|&&byte| is_printable(byte)).map(|&byte| byte.into());
    printable.chain('\u{100}'..).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of a word: always the merge of the lowest rank that is possible.
    fn encode(bpe: &Bpe, word: &str) -> Vec<String> {
        let mut word = symbols(word);
        loop {
            let rank = |pair: &[String]| {
                bpe.merges.iter().position(|merge| merge.0 == pair[0] && merge.1 == pair[1])
            };
            match word.windows(2).filter_map(rank).min() {
                Some(rank) => word = apply(&bpe.merges[rank], word),
                None => return word,
            }
        }
    }

    #[test]
    fn every_word_is_one_token() {
        let bpe = Bpe::of_world();
        for word in words() {
            let tokens = encode(&bpe, &word);
            assert_eq!(tokens, [format!("{word}</w>")]);
            assert!(bpe.tokens.contains(&tokens[0]));
        }
        assert!(encode(&bpe, "zebra").len() > 1);
    }

    #[test]
    fn the_vocabulary_is_in_clips_order() {
        let bpe = Bpe::of_world();
        let tokens = bpe.tokens();
        // From the vocabulary of openai/clip-vit-large-patch14.
        for (id, token) in [(0, "!"), (64, "a"), (94, "¡"), (188, "Ā"), (255, "Ń"), (256, "!</w>")]
        {
            assert_eq!(tokens[id], token);
        }
        assert_eq!(tokens.len(), 512 + bpe.merges().len() + 2);
        assert_eq!(tokens[tokens.len() - 2..], [Bpe::START, Bpe::END]);
        let unique: BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(unique.len(), tokens.len());
    }

    #[test]
    fn the_files_have_their_form() {
        let bpe = Bpe::of_world();
        let json: serde_json::Value = serde_json::from_str(&bpe.vocab_json()).unwrap();
        assert_eq!(json["<|endoftext|>"], bpe.tokens().len() - 1);
        let text = bpe.merges_txt();
        assert!(text.starts_with("#version") && text.lines().count() == bpe.merges().len() + 1);
    }

    #[test]
    fn words_are_divided_as_clip_divides_them() {
        assert_eq!(split_words("a cat, 12 it"), ["a", "cat", ",", "1", "2", "it"]);
        assert!(words().is_sorted() && words().contains(&"diamonds".to_owned()));
    }
}
