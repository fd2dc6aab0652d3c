//! The tokenizer against transformers' `CLIPTokenizer` on awkward texts (`scripts/golden/tokens.py`).

use std::fs;

use crate::support::{Directory, fixtures, real, special_tokens};
use sd_clip::ClipTokenizer;
use serde_json::Value;

const EOS: u32 = 49407;
const LENGTH: usize = 77;

struct Case {
    text: String,
    count: usize,
    ids: Option<Vec<u32>>,
    padded: Vec<u32>,
    padded_bang: Vec<u32>,
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    let values = value.as_array()?;
    Some(values.iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect())
}

fn cases() -> Vec<Case> {
    let golden = fs::read(fixtures().join("tokenizer_clip.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let lists = ["cases", "file_dependent"].map(|key| golden[key].as_array().unwrap());
    let cases: Vec<Case> = lists.into_iter().flatten().map(case).collect();
    assert!(cases.len() > 40);
    cases
}

fn case(entry: &Value) -> Case {
    let repeat = usize::try_from(entry["repeat"].as_u64().unwrap()).unwrap();
    let padded = ids(&entry["padded"]).unwrap();
    let padded_bang = ids(&entry["padded_bang"]).unwrap_or_else(|| {
        let end = padded.iter().position(|&id| id == EOS).unwrap();
        let mut bang = padded.clone();
        bang[end + 1..].fill(0);
        bang
    });
    Case {
        text: entry["text"].as_str().unwrap().repeat(repeat),
        count: usize::try_from(entry["count"].as_u64().unwrap()).unwrap(),
        ids: ids(&entry["ids"]),
        padded,
        padded_bang,
    }
}

#[test]
fn ids_of_stable_diffusion_1() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    for case in cases() {
        let encoded = tokenizer.encode(&case.text).unwrap();
        assert_eq!(encoded.ids, case.padded, "{:?}", case.text);
        assert_eq!(encoded.length_without_padding, case.count.min(LENGTH), "{:?}", case.text);
        assert_eq!(encoded.truncated.is_some(), case.count > LENGTH, "{:?}", case.text);
        let tokens = tokenizer.tokens(&case.text).unwrap();
        assert_eq!(tokens.len() + 2, case.count, "{:?}", case.text);
        if let Some(ids) = case.ids {
            assert_eq!(tokens, ids[1..ids.len() - 1], "{:?}", case.text);
        }
    }
}

#[test]
fn ids_of_stable_diffusion_2() {
    let directory = Directory::real_with(&[
        ("tokenizer_config.json", special_tokens("<|endoftext|>")),
        ("special_tokens_map.json", special_tokens("!")),
    ]);
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    for case in cases() {
        assert_eq!(tokenizer.encode(&case.text).unwrap().ids, case.padded_bang, "{:?}", case.text);
    }
}

#[test]
fn a_tokenizer_json_gives_the_same_ids() {
    let read = |name: &str| fs::read_to_string(real().join(name)).unwrap();
    let vocab: Value = serde_json::from_str(&read("vocab.json")).unwrap();
    let merges: Vec<String> = read("merges.txt").lines().skip(1).map(str::to_owned).collect();
    let directory = Directory::empty();
    let model = serde_json::json!({"type": "BPE", "vocab": vocab, "merges": merges});
    directory.json("tokenizer.json", &serde_json::json!({"model": model, "added_tokens": []}));
    directory.text("tokenizer_config.json", read("tokenizer_config.json"));
    directory.text("special_tokens_map.json", read("special_tokens_map.json"));
    let tokenizer = ClipTokenizer::from_dir(directory.path()).unwrap();
    for case in cases() {
        assert_eq!(tokenizer.encode(&case.text).unwrap().ids, case.padded, "{:?}", case.text);
    }
}

#[test]
fn both_forms_of_the_tiny_repository_agree() {
    let source = fixtures().join("tiny-sd1/tokenizer");
    let directory = Directory::empty();
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"] {
        fs::copy(source.join(name), directory.path().join(name)).unwrap();
    }
    assert!(source.join("tokenizer.json").is_file());
    let one = ClipTokenizer::from_dir(source).unwrap();
    let other = ClipTokenizer::from_dir(directory.path()).unwrap();
    for text in
        ["a photograph of a lighthouse", "Crème brûlée 😀", "<|startoftext|> a<|endoftext|>!"]
    {
        assert_eq!(one.encode(text).unwrap(), other.encode(text).unwrap(), "{text}");
    }
}

#[test]
fn four_threads_agree_with_one() {
    let tokenizer = ClipTokenizer::from_dir(real()).unwrap();
    let cases = cases();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for case in &cases {
                    assert_eq!(
                        tokenizer.encode(&case.text).unwrap().ids,
                        case.padded,
                        "{:?}",
                        case.text
                    );
                }
            });
        }
    });
}
