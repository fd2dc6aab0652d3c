//! Which file says what: precedence as in transformers 5.23, whose answers are the expected values here.

use crate::support::{Directory, fixtures, small_tokenizer_json, special_tokens};
use sd_clip::ClipTokenizer;
use sd_clip::tokenizer::DEFAULT_MAX_LENGTH;
use serde_json::json;

const TEXT: &str = "! hello <|endoftext|> x <|ENDOFTEXT|> <|startoftext|>";

fn tokens(directory: &Directory, text: &str) -> Vec<u32> {
    ClipTokenizer::from_dir(directory.path()).unwrap().tokens(text).unwrap()
}

#[test]
fn clip_defaults_without_any_settings() {
    let directory = Directory::real_with(&[]);
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (49406, 49407, 49407));
    assert_eq!((tokenizer.vocab_size(), tokenizer.max_length()), (49408, DEFAULT_MAX_LENGTH));
    let expected = [256, 3306, 49407, 343, 27, 347, 40786, 4160, 91, 285, 49406];
    assert_eq!(tokenizer.tokens(TEXT).unwrap(), expected);
}

#[test]
fn the_special_tokens_map_overrides_an_old_config() {
    let directory = Directory::real_with(&[
        ("tokenizer_config.json", special_tokens("<|endoftext|>")),
        ("special_tokens_map.json", special_tokens("!")),
    ]);
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    assert_eq!((tokenizer.pad_id(), tokenizer.eos_id()), (0, 49407));
    assert_eq!(tokenizer.tokens(TEXT).unwrap(), [0, 3306, 49407, 343, 49407, 49406]);
    assert_eq!(tokenizer.tokens("a!! b").unwrap(), [320, 0, 0, 321]);
}

#[test]
fn a_config_with_added_tokens_stands_alone() {
    let mut config = special_tokens("<|endoftext|>");
    config["added_tokens_decoder"] = json!({
        "49406": {"content": "<|startoftext|>", "normalized": true, "special": true},
        "49407": {"content": "<|endoftext|>", "normalized": false, "special": true},
    });
    let files =
        [("tokenizer_config.json", config), ("special_tokens_map.json", special_tokens("!"))];
    let directory = Directory::real_with(&files);
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    assert_eq!(tokenizer.pad_id(), 49407);
    let expected = [256, 3306, 49407, 343, 27, 347, 40786, 4160, 91, 285, 49406];
    assert_eq!(tokenizer.tokens(TEXT).unwrap(), expected);
}

#[test]
fn a_tokenizer_json_does_not_change_the_precedence() {
    let directory = Directory::small_tokenizer_json();
    directory.json("tokenizer_config.json", &special_tokens("<|endoftext|>"));
    directory.json("special_tokens_map.json", &special_tokens("!"));
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    assert_eq!(tokenizer.pad_id(), 6);
    assert_eq!(tokenizer.tokens("ab! ba").unwrap(), [4, 6, 5]);
}

#[test]
fn the_pipeline_of_a_tokenizer_json_is_not_used() {
    let directory = Directory::empty();
    let mut file = small_tokenizer_json();
    file["normalizer"] = json!({"type": "Uppercase"});
    file["pre_tokenizer"] = json!(null);
    file["post_processor"] = json!({"type": "no such thing"});
    directory.json("tokenizer.json", &file);
    assert_eq!(tokens(&directory, "AB  ba"), [4, 5]);
}

#[test]
fn added_tokens_of_every_source() {
    let legacy = Directory::real_with(&[
        ("tokenizer_config.json", special_tokens("<|endoftext|>")),
        ("added_tokens.json", json!({"<cat-toy>": 49408, "<dog>": 49409})),
    ]);
    assert_eq!(tokens(&legacy, "a <cat-toy> <DOG>"), [320, 49408, 49409]);
    assert_eq!(ClipTokenizer::from_dir(legacy.path()).unwrap().vocab_size(), 49410);

    let json_file = Directory::empty();
    let mut file = small_tokenizer_json();
    file["added_tokens"] = json!([{"id": 9, "content": "<cat-toy>"}]);
    json_file.json("tokenizer.json", &file);
    assert_eq!(tokens(&json_file, "a <Cat-Toy>"), [2, 9]);
}

#[test]
fn special_tokens_can_be_read_as_text() {
    let mut config = special_tokens("<|endoftext|>");
    config["split_special_tokens"] = json!(true);
    let directory = Directory::real_with(&[("tokenizer_config.json", config)]);
    assert_eq!(tokens(&directory, "a <|endoftext|> b"), [320, 27, 347, 40786, 4160, 91, 285, 321]);
}

#[test]
fn maximum_length() {
    for (stated, expected) in [
        (json!(77), 77),
        (json!(2), 2),
        (json!(null), 77),
        (json!(1e30), 77),
        (serde_json::from_str("1000000000000000019884624838656").unwrap(), 77),
    ] {
        let directory = Directory::small();
        directory.json("tokenizer_config.json", &json!({"model_max_length": stated}));
        assert_eq!(
            ClipTokenizer::from_dir(directory.path()).unwrap().max_length(),
            expected,
            "{stated}"
        );
    }
    let tokenizer =
        ClipTokenizer::from_dir(Directory::small().path()).unwrap().with_max_length(4).unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap().ids, [7, 4, 8, 8]);
    assert_eq!(
        tokenizer.with_max_length(1).unwrap_err().to_string(),
        "maximum length 1 is not a whole number of at least 2 (BOS and EOS)"
    );
}

/// The directories of the tiny models say what the published ones do: the same settings come of a vocabulary alone.
#[test]
fn a_vocabulary_alone_is_a_published_tokenizer_but_for_the_padding() {
    let text = "A cat!! <|startoftext|> <|ENDOFTEXT|> <|endoftext|> ! x";
    for (own, vocabulary, padding) in [
        ("tiny-sd1/tokenizer", "tiny-sdxl/tokenizer_2", "<|endoftext|>"),
        ("tiny-sd2/tokenizer", "tiny-sd1/tokenizer", "!"),
        ("tiny-sdxl/tokenizer_2", "tiny-sdxl/tokenizer", "!"),
    ] {
        let expected = ClipTokenizer::from_dir(fixtures().join(own)).unwrap();
        let found = ClipTokenizer::from_vocabulary(fixtures().join(vocabulary), padding).unwrap();
        assert_eq!(found.pad_id(), expected.pad_id(), "{own}");
        assert_eq!(found.encode(text).unwrap(), expected.encode(text).unwrap(), "{own}");
    }
    // With CLIP's own ids, where nothing but the vocabulary lies.
    let directory = Directory::real_with(&[]);
    let tokenizer = ClipTokenizer::from_vocabulary(directory.path(), "!").unwrap();
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id()), (49406, 49407, 0));
    assert_eq!(tokenizer.max_length(), DEFAULT_MAX_LENGTH);
    assert_eq!(tokenizer.tokens("a!! b").unwrap(), [320, 0, 0, 321]);
    let error = ClipTokenizer::from_vocabulary(directory.path(), "[PAD]").unwrap_err();
    assert!(error.to_string().contains("[PAD]"), "{error}");
    let error = ClipTokenizer::from_vocabulary(Directory::empty().path(), "!").unwrap_err();
    assert!(error.to_string().contains("vocab.json with merges.txt"), "{error}");
}
