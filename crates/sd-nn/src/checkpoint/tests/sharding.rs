//! Sharded checkpoints: read as one, refused when index and shards disagree.

use burn::tensor::DType;

use super::*;
use crate::checkpoint::{IndexProblem, ShardedFiles, WeightSource};

const ONE: &str = "model-00001-of-00002.safetensors";
const TWO: &str = "model-00002-of-00002.safetensors";

/// Two shards with tensors `a`, `b` and `c`, and an index with this weight map.
fn shards(weight_map: &str) -> Scratch {
    let scratch = Scratch::new();
    let first = format!("{{{},{}}}", entry("a", "U8", "[2]", 0, 2), entry("b", "U8", "[2]", 2, 4));
    scratch.write(ONE, &file(&first, 4));
    scratch.write(TWO, &file(&format!("{{{}}}", entry("c", "F32", "[1]", 0, 4)), 4));
    scratch.write(
        "index.json",
        format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{{{weight_map}}}}}"#).as_bytes(),
    );
    scratch
}

fn open(scratch: &Scratch) -> Result<ShardedFiles, CheckpointError> {
    ShardedFiles::open(scratch.path("index.json"))
}

fn problem(weight_map: &str) -> String {
    match open(&shards(weight_map)) {
        Err(CheckpointError::InvalidIndex { problem, .. }) => problem.to_string(),
        other => panic!("expected an index problem, found {other:?}"),
    }
}

#[test]
fn shards_are_one_source() {
    let files = open(&shards(&format!(r#""a":"{ONE}","b":"{ONE}","c":"{TWO}""#))).unwrap();
    assert_eq!(files.names(), ["a", "b", "c"]);
    assert_eq!(files.shards().len(), 2);
    assert_eq!(files.info("c").unwrap().dtype, Dtype::F32);
    assert_eq!(files.read("b", DType::F32).unwrap().to_vec::<u8>().unwrap(), [2, 3]);
    let error = files.read("cc", DType::F32).unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchTensor { .. }), "{error}");
}

#[test]
fn an_index_that_disagrees_with_its_shards_is_refused() {
    assert_eq!(problem(""), "the weight map is empty");
    assert_eq!(
        problem(&format!(r#""a":"{ONE}","a":"{ONE}""#)),
        "key `a` stands twice in the weight map"
    );
    assert_eq!(
        problem(&format!(r#""a":"{ONE}","d":"{TWO}""#)),
        format!("tensor `d` is not in shard `{TWO}`")
    );
    assert_eq!(
        problem(&format!(r#""a":"{TWO}","b":"{ONE}""#)),
        format!("tensor `a` is not in shard `{TWO}` but in `{ONE}`")
    );
    assert_eq!(
        problem(r#""a":"x.safetensors","b":"y.safetensors""#),
        "missing shards: x.safetensors, y.safetensors"
    );
}

#[test]
fn shards_outside_the_directory_are_refused() {
    for name in
        ["../x.safetensors", "/etc/passwd", "sub/x", "..", ".", "", r"..\\x", r"C:x", r"a\u0000b"]
    {
        assert!(
            problem(&format!(r#""a":"{name}""#)).contains("is not a plain file name"),
            "{name}"
        );
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let scratch = shards(&format!(r#""a":"{ONE}","c":"{TWO}""#));
    scratch.write(TWO, &file(&format!("{{{}}}", entry("a", "F32", "[1]", 0, 4)), 4));
    let error = open(&scratch).unwrap_err();
    assert!(
        matches!(
            error,
            CheckpointError::InvalidIndex { problem: IndexProblem::InTwoShards { .. }, .. }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_shard_or_index_is_named() {
    let scratch = shards(&format!(r#""a":"{ONE}","c":"{TWO}""#));
    scratch.write(TWO, b"");
    let error = open(&scratch).unwrap_err();
    assert!(matches!(&error, CheckpointError::Empty { path } if path.ends_with(TWO)), "{error}");
    for text in ["", "{", "[]", "{}", r#"{"weight_map": 3}"#, r#"{"weight_map": {"a": 3}}"#] {
        scratch.write("index.json", text.as_bytes());
        let error = open(&scratch).unwrap_err();
        assert!(
            matches!(
                error,
                CheckpointError::InvalidIndex { problem: IndexProblem::Unreadable(_), .. }
            ),
            "{text}: {error}"
        );
    }
    assert!(matches!(
        ShardedFiles::open(scratch.path("none.json")),
        Err(CheckpointError::NotFound { .. })
    ));
}
