//! What is done with prompts: cutting and the warning about it, decoding, tokens that a user adds.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sd_clip::{ClipTokenizer, TokenizerError};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Directory, real};

#[test]
fn an_empty_prompt_is_bos_and_eos() {
    let encoded = ClipTokenizer::from_dir(real()).unwrap().encode("").unwrap();
    assert_eq!(encoded.length_without_padding, 2);
    assert_eq!(encoded.ids[..3], [49406, 49407, 49407]);
    assert_eq!(encoded.truncated, None);
}

#[test]
fn what_does_not_fit_is_returned() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    let fits = tokenizer.encode(&"one ".repeat(75)).unwrap();
    assert_eq!((fits.length_without_padding, fits.truncated), (77, None));
    let cut =
        tokenizer.encode(&format!("{}Two,  the <|endoftext|> RED", "one ".repeat(74))).unwrap();
    assert_eq!(cut.ids.len(), 77);
    assert_eq!(cut.ids[75..], [1237, 49407]);
    assert_eq!(cut.length_without_padding, 77);
    assert_eq!(cut.truncated.unwrap(), ", the <|endoftext|>red");
}

#[test]
fn ten_thousand_words_are_quick() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    let start = Instant::now();
    let encoded = tokenizer.encode(&"lighthouse ".repeat(10_000)).unwrap();
    assert_eq!(encoded.truncated.unwrap().split(' ').count(), 10_000 - 75);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn tokens_are_neither_framed_nor_cut_and_can_be_framed() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    let text = "a photo of a cat ".repeat(30);
    let tokens = tokenizer.tokens(&text).unwrap();
    assert_eq!(tokens.len(), 150);
    assert_eq!(tokens[..5], [320, 1125, 539, 320, 2368]);
    assert_eq!(tokenizer.frame(&tokens), tokenizer.encode(&text).unwrap().ids);
    let short = tokenizer.frame(&tokens[..5]);
    assert_eq!(short, tokenizer.encode("a photo of a cat").unwrap().ids);
}

#[test]
fn decoding_gives_the_normalised_text() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    let tokens = tokenizer.tokens("  Crème   BRÛLÉE 日本 😀").unwrap();
    assert_eq!(tokenizer.decode(&tokens).unwrap(), "crème brûlée 日本 😀");
    assert_eq!(
        tokenizer.decode(&[49406, 2368, 49407]).unwrap(),
        "<|startoftext|>cat <|endoftext|>"
    );
    assert_eq!(tokenizer.decode(&[u32::MAX, 2368]).unwrap(), "cat");
}

/// The expected ids are those of transformers after `add_tokens("<cat-toy>")`.
#[test]
fn an_added_token_stands_for_itself() {
    let mut tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    assert_eq!(tokenizer.add_token("<cat-toy>").unwrap(), 49408);
    assert_eq!(tokenizer.vocab_size(), 49409);
    let tokens = |text| tokenizer.tokens(text).unwrap();
    assert_eq!(tokens("a photo of <cat-toy> on a table"), [320, 1125, 539, 49408, 525, 320, 2175]);
    assert_eq!(tokens("<Cat-Toy>,<cat-toy>s"), [49408, 267, 49408, 338]);
    assert_eq!(tokens("x<cat-toy>"), [343, 49408]);
    assert_eq!(tokenizer.decode(&[320, 49408]).unwrap(), "a <cat-toy>");
}

#[test]
fn a_refused_token_changes_nothing() {
    let mut tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    tokenizer.add_token("<cat-toy>").unwrap();
    let before = tokenizer.encode("a <cat-toy> <dog>").unwrap();
    for (token, id) in [("<cat-toy>", 49408), ("cat</w>", 2368), ("<|endoftext|>", 49407)] {
        let error = tokenizer.add_token(token).unwrap_err();
        assert!(
            matches!(error, TokenizerError::TokenExists { id: found, .. } if found == id),
            "{error}"
        );
    }
    for token in ["", " ", " <dog>", "<dog>\n", "<CAT-toy>"] {
        let error = tokenizer.add_token(token).unwrap_err();
        assert!(matches!(error, TokenizerError::AddedToken { .. }), "{token:?}: {error}");
    }
    assert_eq!(tokenizer.vocab_size(), 49409);
    assert_eq!(tokenizer.encode("a <cat-toy> <dog>").unwrap(), before);
    assert_eq!(tokenizer.add_token("<dog>").unwrap(), 49409);
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn the_warning_says_what_was_cut() {
    let tokenizer =
        ClipTokenizer::from_dir(Directory::small().path()).unwrap().with_max_length(4).unwrap();
    let logged = |prompt: &str| {
        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        tracing::subscriber::with_default(subscriber, || tokenizer.encode(prompt).unwrap());
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(logged("ab ba"), "");
    let line = logged("ab ba a b");
    assert!(line.contains("WARN") && line.contains("cut: a b "), "{line}");
    let long = logged(&"ab ".repeat(1000));
    assert!(long.contains("…") && long.len() < 1000, "{long}");
}
