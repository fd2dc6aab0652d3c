//! Valid files are read exactly; files that are wrong in one way are refused in those words.

use burn::tensor::DType;
use half::{bf16, f16};

use super::*;
use crate::checkpoint::{ForeignFormat, WeightSource};

#[test]
fn a_valid_file_shows_names_shapes_metadata_and_bytes() {
    let json = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{},{}}}"#,
        entry("b", "F32", "[2,1]", 0, 8),
        entry("a", "U8", "[3]", 8, 11)
    );
    let scratch = Scratch::new();
    let file = scratch.open(&file(&json, 11)).unwrap();
    assert_eq!(file.names(), ["b", "a"]);
    assert_eq!(file.metadata().get("format").map(String::as_str), Some("pt"));
    assert_eq!(file.info("b").unwrap().shape, [2, 1]);
    let view = file.tensor("a").unwrap();
    assert_eq!((view.dtype, view.shape, view.bytes), (Dtype::U8, &[3][..], &[8, 9, 10][..]));
    let error = file.read("c", DType::F32).unwrap_err().to_string();
    assert!(error.ends_with("file.safetensors has no tensor `c`"), "{error}");
}

#[test]
fn files_without_tensors_scalars_and_empty_tensors_are_valid() {
    let scratch = Scratch::new();
    assert!(scratch.open(&file("{}", 0)).unwrap().names().is_empty());
    let json =
        format!("{{{},{}}}   ", entry("s", "F32", "[]", 0, 4), entry("e", "F16", "[0,5]", 0, 0));
    let file = scratch.open(&file(&json, 4)).unwrap();
    assert_eq!(file.tensor("s").unwrap().bytes.len(), 4);
    assert_eq!(file.read("e", DType::F32).unwrap().shape.as_slice(), [0, 5]);
}

#[test]
fn unaligned_tensors_of_old_writers_are_read() {
    let values = [1.5f32, -2.0];
    let mut json =
        format!("{{{},{}}}", entry("u", "U8", "[1]", 0, 1), entry("f", "F32", "[2]", 1, 9));
    json.push_str(if json.len() % 2 == 0 { "" } else { " " });
    let mut bytes = file(&json, 1);
    bytes.extend_from_slice(bytemuck::cast_slice(&values));
    let scratch = Scratch::new();
    let file = scratch.open(&bytes).unwrap();
    assert_eq!(file.read("f", DType::F32).unwrap().to_vec::<f32>().unwrap(), values);
    let halves = file.read("f", DType::F16).unwrap().to_vec::<f16>().unwrap();
    assert_eq!(halves, values.map(f16::from_f32));
}

#[test]
fn files_of_the_reference_implementation_are_read_and_ours_are_read_by_it() {
    let halves: Vec<bf16> = (0..6).map(|i| bf16::from_f32(i as f32)).collect();
    let view = |dtype, shape: &[usize], bytes| {
        safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes).unwrap()
    };
    let tensors = [
        ("h", view(Dtype::BF16, &[2, 3], bytemuck::cast_slice(&halves))),
        ("i", view(Dtype::I64, &[1], &[7, 0, 0, 0, 0, 0, 0, 0])),
    ];
    let bytes = safetensors::serialize(tensors, None).unwrap();
    let scratch = Scratch::new();
    let file = scratch.open(&bytes).unwrap();
    assert_eq!(
        file.read("h", DType::F32).unwrap().to_vec::<f32>().unwrap(),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    );
    assert_eq!(file.read("i", DType::F32).unwrap().to_vec::<i64>().unwrap(), [7]);

    let path = scratch.path("ours.safetensors");
    let ours = vec![
        tensor("x", Dtype::U8, &[3], &[1, 2, 3]),
        tensor("y", Dtype::BF16, &[6], bytemuck::cast_slice(&halves)),
    ];
    super::super::save_file(&path, ours, &Default::default()).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.tensor("x").unwrap().data(), [1, 2, 3]);
    assert_eq!(theirs.tensor("y").unwrap().shape(), [6]);
}

#[test]
fn what_is_no_file_is_refused() {
    let scratch = Scratch::new();
    assert!(matches!(
        SafetensorsFile::open(scratch.path("none")),
        Err(CheckpointError::NotFound { .. })
    ));
    assert!(matches!(
        SafetensorsFile::open(scratch.root()),
        Err(CheckpointError::IsDirectory { .. })
    ));
    assert!(matches!(scratch.open(b""), Err(CheckpointError::Empty { .. })));
    #[cfg(unix)]
    assert!(matches!(
        SafetensorsFile::open("/dev/null"),
        Err(CheckpointError::Io { action: "map", .. })
    ));
}

#[test]
fn what_looks_like_something_else_is_named() {
    let scratch = Scratch::new();
    for (bytes, expected) in [
        (&b"<html><body>404</body></html>"[..], ForeignFormat::Html),
        (b"<html>", ForeignFormat::Html),
        (b"PK\x03\x04abcdefgh", ForeignFormat::Zip),
        (b"\x80\x02}q\x00abcdefgh", ForeignFormat::Pickle),
        (b"GGUF\x03\0\0\0\0\0\0\0", ForeignFormat::Gguf),
        (b"version https://git-lfs/spec/v1\noid", ForeignFormat::GitLfsPointer),
        (b"\x89PNG\r\n\x1a\n\0\0", ForeignFormat::Image),
        (b"{\"weight_map\": {}}", ForeignFormat::Json),
    ] {
        match scratch.open(bytes) {
            Err(CheckpointError::Foreign { format, .. }) => assert_eq!(format, expected),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
}

#[test]
fn a_header_that_does_not_fit_its_file_is_refused() {
    let scratch = Scratch::new();
    assert_eq!(scratch.problem(&[1, 0, 200]), HeaderProblem::TooShort { found: 3 });
    let with_length = |length: u64| [&length.to_le_bytes()[..], &[1, 200, 3]].concat();
    assert_eq!(
        scratch.problem(&with_length(u64::MAX)),
        HeaderProblem::TooLarge { found: u64::MAX }
    );
    assert_eq!(
        scratch.problem(&with_length(100_000_001)),
        HeaderProblem::TooLarge { found: 100_000_001 }
    );
    assert_eq!(
        scratch.problem(&with_length(4)),
        HeaderProblem::BeyondFile { header: 4, available: 3 }
    );
    assert_eq!(scratch.problem(&with_length(3)), HeaderProblem::NotUtf8 { offset: 1 });
    assert!(matches!(scratch.problem(&file("{\"a\":", 0)), HeaderProblem::NotJson { .. }));
    assert!(matches!(scratch.problem(&file("x", 0)), HeaderProblem::NotJson { .. }));
    assert!(matches!(scratch.problem(&file("[]", 0)), HeaderProblem::NotJson { .. }));
    assert!(matches!(scratch.problem(&file(&"[".repeat(5000), 0)), HeaderProblem::NotJson { .. }));
    let metadata = r#"{"__metadata__":{"a":1}}"#;
    assert!(matches!(scratch.problem(&file(metadata, 0)), HeaderProblem::NotJson { .. }));
}

/// The problem of a file with one or two tensors.
fn problem_of(entries: &[String], data: usize) -> HeaderProblem {
    Scratch::new().problem(&file(&format!("{{{}}}", entries.join(",")), data))
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let one = |dtype: &str, shape: &str, begin, end, data| {
        problem_of(&[entry("a", dtype, shape, begin, end)], data)
    };
    assert_eq!(
        one("Q4", "[1]", 0, 4, 4),
        HeaderProblem::UnknownDtype { tensor: "a".into(), dtype: "Q4".into() }
    );
    assert!(matches!(
        one("F32", "[2]", 0, 4, 4),
        HeaderProblem::SizeMismatch { expected: 8, found: 4, .. }
    ));
    assert!(matches!(
        one("F16", "[2]", 0, 8, 8),
        HeaderProblem::SizeMismatch { expected: 4, found: 8, .. }
    ));
    assert!(matches!(
        one("F32", "[2]", 0, 6, 6),
        HeaderProblem::Misaligned { begin: 0, end: 6, .. }
    ));
    assert!(matches!(one("F4", "[3]", 0, 2, 2), HeaderProblem::Misaligned { .. }));
    assert!(matches!(one("F32", "[2]", 8, 0, 8), HeaderProblem::Reversed { begin: 8, end: 0, .. }));
    assert!(matches!(
        one("F32", "[2]", 0, 8, 7),
        HeaderProblem::OutOfRange { end: 8, available: 7, .. }
    ));
    assert!(matches!(
        one("F32", "[2]", u64::MAX - 7, u64::MAX, 8),
        HeaderProblem::OutOfRange { .. }
    ));
    assert!(matches!(
        one("F32", "[2]", 0, 8, 9),
        HeaderProblem::TrailingData { described: 8, found: 9 }
    ));
    assert!(matches!(one("F32", "[2]", 1, 9, 9), HeaderProblem::Gap { begin: 1, expected: 0, .. }));
    let huge = format!("[{},{}]", u64::MAX, u64::MAX);
    assert!(matches!(one("F32", &huge, 0, 4, 4), HeaderProblem::Overflow { .. }));
    assert!(matches!(one("F32", "[-1]", 0, 4, 4), HeaderProblem::NotJson { .. }));
    assert!(matches!(one("F32", "[1.5]", 0, 4, 4), HeaderProblem::NotJson { .. }));
}

#[test]
fn tensors_that_contradict_each_other_are_refused() {
    let two = |b: (u64, u64), name: &str| {
        problem_of(&[entry("a", "U8", "[4]", 0, 4), entry(name, "U8", "[4]", b.0, b.1)], 8)
    };
    assert_eq!(
        two((2, 6), "b"),
        HeaderProblem::Overlap { first: "a".into(), second: "b".into(), at: 2 }
    );
    assert_eq!(
        two((0, 4), "b"),
        HeaderProblem::Overlap { first: "a".into(), second: "b".into(), at: 0 }
    );
    assert_eq!(two((4, 8), "a"), HeaderProblem::Duplicate { name: "a".into() });
    let gap = problem_of(&[entry("a", "U8", "[3]", 0, 3), entry("b", "U8", "[4]", 4, 8)], 8);
    assert_eq!(gap, HeaderProblem::Gap { tensor: "b".into(), expected: 3, begin: 4 });
    let metadata = r#""__metadata__":{"a":"1","a":"2"}"#.to_owned();
    assert_eq!(
        problem_of(&[metadata], 0),
        HeaderProblem::Duplicate { name: "__metadata__.a".into() }
    );
    let metadata = r#""__metadata__":{}"#.to_owned();
    assert_eq!(
        problem_of(&[metadata.clone(), metadata], 0),
        HeaderProblem::Duplicate { name: "__metadata__".into() }
    );
}

#[test]
fn dtypes_that_cannot_be_computed_with_are_refused_when_read() {
    let scratch = Scratch::new();
    let file =
        scratch.open(&file(&format!("{{{}}}", entry("a", "F8_E4M3", "[4]", 0, 4)), 4)).unwrap();
    let error = file.read("a", DType::F32).unwrap_err().to_string();
    assert!(error.contains("tensor `a` has dtype F8_E4M3, expected F16"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn pages_are_given_back_as_they_are_read() {
    let size = 96 << 20;
    let scratch = Scratch::new();
    let file = scratch
        .open(&file(
            &format!("{{{}}}", entry("a", "U8", &format!("[{size}]"), 0, size)),
            size as usize,
        ))
        .unwrap();
    let before = resident_file_bytes();
    let data = file.read("a", DType::F32).unwrap();
    assert_eq!(data.bytes.len() as u64, size);
    let grown = resident_file_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes of the file stay resident");
}

#[cfg(target_os = "linux")]
fn resident_file_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
