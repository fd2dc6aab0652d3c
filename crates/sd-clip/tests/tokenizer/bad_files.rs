//! Files that are missing, malformed or contradictory: each gives its own error, none a panic.

use std::fs;

use sd_clip::{ClipTokenizer, TokenizerError};
use serde_json::{Value, json};

use crate::support::{Directory, small_tokenizer_json, small_vocab};

fn error(directory: &Directory) -> TokenizerError {
    ClipTokenizer::from_dir(directory.path()).unwrap_err()
}

/// The error of the small tokenizer with one file replaced.
fn error_with(name: &str, content: &str) -> TokenizerError {
    let directory = Directory::small();
    directory.text(name, content);
    error(&directory)
}

/// The error of the small `tokenizer.json` with one value replaced.
fn error_with_value(pointer: &str, value: Value) -> TokenizerError {
    let mut file = small_tokenizer_json();
    *file.pointer_mut(pointer).unwrap() = value;
    let directory = Directory::empty();
    directory.json("tokenizer.json", &file);
    error(&directory)
}

#[test]
fn the_small_tokenizer_is_sound() {
    for directory in [Directory::small(), Directory::small_tokenizer_json()] {
        let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
        assert_eq!(tokenizer.tokens("ab BA aa").unwrap(), [4, 5, 0, 2]);
        // Symbols that the vocabulary lacks become the unknown token.
        assert_eq!(tokenizer.tokens("cab").unwrap(), [8, 4]);
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (7, 8, 8));
    }
}

#[test]
fn missing_files() {
    let empty = Directory::empty();
    let absent = ClipTokenizer::from_dir(empty.path().join("absent")).unwrap_err();
    assert!(
        absent
            .to_string()
            .ends_with("absent: looked for tokenizer.json, or vocab.json with merges.txt")
    );
    assert!(matches!(error(&empty), TokenizerError::Missing { .. }));
    for name in ["vocab.json", "merges.txt"] {
        let directory = Directory::small();
        fs::remove_file(directory.path().join(name)).unwrap();
        assert!(matches!(error(&directory), TokenizerError::Missing { .. }));
    }
    let file = Directory::small().path().join("vocab.json");
    assert!(matches!(ClipTokenizer::from_dir(file), Err(TokenizerError::Missing { .. })));
}

#[test]
fn unreadable_files() {
    let directory = Directory::small();
    fs::create_dir(directory.path().join("tokenizer.json")).unwrap();
    assert!(matches!(error(&directory), TokenizerError::Io { .. }));
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        let directory = Directory::small();
        directory.text(name, b"{\"\xff\"");
        assert!(matches!(error(&directory), TokenizerError::Io { .. }), "{name}");
    }
    let directory = Directory::small();
    fs::File::create(directory.path().join("vocab.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(matches!(error(&directory), TokenizerError::TooLarge { .. }));
}

#[test]
fn malformed_json() {
    let names = [
        "vocab.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ];
    for name in names {
        for content in ["", "<!DOCTYPE html>", "{\"a\": 0", &"[".repeat(100_000)] {
            let error = error_with(name, content);
            assert!(matches!(error, TokenizerError::Json { .. }), "{name}: {error}");
        }
        let error = error_with(name, "[]");
        assert!(matches!(error, TokenizerError::WrongType { .. }), "{name}: {error}");
    }
}

#[test]
fn malformed_merges() {
    for (content, place, problem) in [
        (
            "#version: 0.2\na b</w>\nab</w>\n",
            "line 3",
            "expected two tokens and one space between, found \"ab</w>\"",
        ),
        ("a b</w> b", "line 1", "expected two tokens and one space between, found \"a b</w> b\""),
        (" a", "line 1", "expected two tokens and one space between, found \" a\""),
        ("a b</w>\r\n\r\na c</w>\r\n", "line 3", "\"c</w>\" is not in the vocabulary"),
        (
            "<|startoftext|> <|endoftext|>",
            "line 1",
            "\"<|startoftext|><|endoftext|>\" is not in the vocabulary",
        ),
    ] {
        match error_with("merges.txt", content) {
            TokenizerError::Merge { place: found_place, problem: found, .. } => {
                assert_eq!((found_place.as_str(), found.as_str()), (place, problem));
            }
            other => panic!("{other}"),
        }
    }
    let error = error_with_value("/model/merges/1", json!(["a", "b</w>", "a"]));
    assert!(
        matches!(error, TokenizerError::Merge { ref place, .. } if place == "model.merges[1]"),
        "{error}"
    );
}

#[test]
fn ids_that_are_no_ids() {
    for value in [json!(-1), json!(1.5), json!("1"), json!(null), json!([])] {
        let mut vocab = small_vocab();
        vocab["b"] = value;
        let error = error_with("vocab.json", &vocab.to_string());
        assert!(
            matches!(error, TokenizerError::WrongType { ref key, .. } if key == "b"),
            "{error}"
        );
    }
    for value in [9, 1 << 32, u64::MAX] {
        let mut vocab = small_vocab();
        vocab["b"] = json!(value);
        let error = error_with("vocab.json", &vocab.to_string());
        assert!(
            matches!(error, TokenizerError::IdOutOfRange { id, size: 9, .. } if id == value),
            "{error}"
        );
    }
    let mut vocab = small_vocab();
    vocab["b"] = json!(0);
    let error = error_with("vocab.json", &vocab.to_string());
    assert!(error.to_string().ends_with("tokens \"a\" and \"b\" share id 0"), "{error}");
}

#[test]
fn special_tokens_without_an_id() {
    for vocab in ["{}", "{\"a\": 0}", "{\"<|endoftext|>\": 0}"] {
        let directory = Directory::small();
        directory.text("merges.txt", "");
        directory.text("vocab.json", vocab);
        let error = error(&directory);
        assert!(
            matches!(error, TokenizerError::SpecialTokenMissing { role: "bos_token", .. }),
            "{error}"
        );
    }
    for role in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        let config = json!({role: "<missing>"}).to_string();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            match error_with(name, &config) {
                TokenizerError::SpecialTokenMissing { role: found, token, .. } => {
                    assert_eq!((found, token.as_str()), (role, "<missing>"));
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn values_of_the_wrong_type() {
    for (content, key) in [
        (json!({"pad_token": 3}), "pad_token"),
        (json!({"pad_token": null}), "pad_token"),
        (json!({"eos_token": {"lstrip": true}}), "eos_token.content"),
        (json!({"eos_token": {"content": "!", "lstrip": 1}}), "eos_token.lstrip"),
        (json!({"additional_special_tokens": "!"}), "additional_special_tokens"),
        (json!({"extra_special_tokens": [1]}), "extra_special_tokens"),
        (json!({"model_max_length": "77"}), "model_max_length"),
        (json!({"split_special_tokens": 1}), "split_special_tokens"),
        (json!({"padding_side": 1}), "padding_side"),
        (json!({"added_tokens_decoder": []}), "added_tokens_decoder"),
        (json!({"added_tokens_decoder": {"x": {"content": "!"}}}), "added_tokens_decoder.x"),
        (json!({"added_tokens_decoder": {"6": "!"}}), "added_tokens_decoder.6"),
    ] {
        match error_with("tokenizer_config.json", &content.to_string()) {
            TokenizerError::WrongType { key: found, .. } => assert_eq!(found, key),
            other => panic!("{content}: {other}"),
        }
    }
    for (pointer, value) in [
        ("/model", json!(1)),
        ("/model/vocab", json!([])),
        ("/model/merges", json!({})),
        ("/model/merges/0", json!(1)),
        ("/added_tokens", json!({})),
        ("/added_tokens/0", json!("!")),
        ("/added_tokens/0/id", json!(-1)),
        ("/added_tokens/0/content", json!(null)),
    ] {
        let error = error_with_value(pointer, value);
        assert!(matches!(error, TokenizerError::WrongType { .. }), "{pointer}: {error}");
    }
}

#[test]
fn values_that_cannot_be_meant() {
    for length in [json!(0), json!(1), json!(-5), json!(10.5)] {
        let error =
            error_with("tokenizer_config.json", &json!({"model_max_length": length}).to_string());
        assert!(matches!(error, TokenizerError::MaxLength { .. }), "{error}");
    }
    for side in ["padding_side", "truncation_side"] {
        let error = error_with("tokenizer_config.json", &json!({side: "left"}).to_string());
        assert!(
            error
                .to_string()
                .ends_with(&format!("`{side}` is \"left\", only \"right\" is supported")),
            "{error}"
        );
    }
    let error = error_with_value("/model/type", json!("Unigram"));
    assert!(matches!(error, TokenizerError::Unsupported { key: "model.type", .. }), "{error}");
    for id in [6, 9, u64::from(u32::MAX)] {
        let error = error_with_value("/added_tokens/0/id", json!(id));
        assert!(matches!(error, TokenizerError::AddedTokenId { found: 7, .. }), "{error}");
    }
    let error = error_with("added_tokens.json", "{\" x\": 9}");
    assert!(matches!(error, TokenizerError::AddedToken { .. }), "{error}");
    let error = error_with("added_tokens.json", "{\"<A>\": 9, \"<a>\": 10}");
    assert!(matches!(error, TokenizerError::AddedToken { .. }), "{error}");
}

/// Every prefix of a file, and the file with one byte changed, loads or gives an error.
#[test]
fn no_damage_makes_it_panic() {
    let config = json!({
        "added_tokens_decoder": {"9": {"content": "<x>", "rstrip": true, "special": true}},
        "pad_token": {"content": "!", "lstrip": true, "single_word": true},
        "model_max_length": 5,
    });
    let directory = Directory::small_tokenizer_json();
    directory.json("tokenizer_config.json", &config);
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let sound = fs::read(directory.path().join(name)).unwrap();
        let mut loaded = 0;
        for position in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] = b"0 \"a,"[position % 5];
            for bytes in [&damaged[..], &sound[..position]] {
                directory.text(name, bytes);
                if let Ok(tokenizer) = ClipTokenizer::from_dir(directory.path()) {
                    loaded += 1;
                    tokenizer.encode("ab <x>  ! <|ENDOFTEXT|> ! ! ba 日本 aaaa").unwrap();
                }
            }
        }
        assert!(loaded > 0, "{name}");
        directory.text(name, &sound);
    }
}
