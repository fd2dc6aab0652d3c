//! Pickles and PyTorch files as strangers might send them: bombs, damage, nonsense.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::{PickleProblem, TorchFile, pickle};

fn problem(bytes: &[u8]) -> PickleProblem {
    pickle::load(bytes).unwrap_err()
}

#[test]
fn calls_are_refused_by_name_in_every_protocol() {
    let cases: &[(&[u8], &str)] = &[
        (b"cos\nsystem\n(S'echo never'\ntR.", "os.system"),
        (b"\x80\x02cbuiltins\nexec\nX\x01\0\0\0x\x85R.", "builtins.exec"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.", "posix.system"),
        (b"\x80\x02csubprocess\nPopen\n)\x81.", "subprocess.Popen"),
        (b"\x80\x04csubprocess\nPopen\n)}\x92.", "subprocess.Popen"),
        (b"(S'echo'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'echo'\no.", "os.system"),
        (b"\x80\x02csome\nClass\n}b.", "some.Class"),
        (
            b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R.",
            "torch.storage._load_from_bytes",
        ),
        (b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nNN)tR.", "os.system"),
        (b"\x80\x02cnumpyx\nscalar\n)R.", "numpyx.scalar"),
    ];
    for (bytes, expected) in cases {
        match problem(bytes) {
            PickleProblem::Forbidden { name, .. } => assert_eq!(name, *expected),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[test]
fn names_that_are_not_called_and_objects_of_trainers_are_harmless() {
    for bytes in [
        &b"\x80\x02cos\nsystem\n."[..],
        b"\x80\x02cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\nX\x02\0\0\0f8\x85RC\x01xtR.",
        b"\x80\x02comegaconf.dictconfig\nDictConfig\n)\x81}X\x01\0\0\0aK\x01sb.",
        b"\x80\x02c__builtin__\nset\n]K\x01a\x85R.",
    ] {
        pickle::load(bytes).unwrap();
    }
}

#[test]
fn bombs_go_off_in_the_open() {
    let too_much = |bytes: &[u8]| matches!(problem(bytes), PickleProblem::TooMuch { .. });
    // A tuple of two of the tuple before, and so on: 2^n of them to whoever walks them.
    let mut nested = b"\x80\x02K\x01".to_vec();
    nested.extend(b"2\x86".repeat(1_200_000));
    assert!(too_much(&nested));
    // The stack grows without end.
    assert!(too_much(&[&b"K\x01q\0"[..], &b"h\0".repeat(2_200_000)].concat()));
    // A list that is copied by every call.
    let mut copies = [&b"\x80\x02(cc\nd\n0]("[..], &b"]]\x86".repeat(50_000), b"eq\x00"].concat();
    copies.extend(b"ccollections\nOrderedDict\nh\0\x85R".repeat(100));
    assert!(too_much(&copies));
    // Claims of lengths that the file does not have.
    for bytes in [
        &b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"X\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
    ] {
        assert!(too_much(bytes), "{bytes:?}");
    }
    assert!(matches!(
        problem(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff"),
        PickleProblem::Truncated { .. }
    ));
}

/// What is wrong with a file of the old form: its object, the list of its keys, and its storages.
fn legacy_problem(object: &[u8], keys: &[u8], data: &[u8]) -> String {
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let scratch = Scratch::new();
    let path = scratch.write("legacy.pt", &[&magic[..], system, object, keys, data].concat());
    TorchFile::open(path).unwrap_err().to_string()
}

/// A string as protocol 2 has it.
fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A reference to a storage of one element.
fn storage(key: &str) -> Vec<u8> {
    let class = b"ctorch\nFloatStorage\n";
    [b"(", &text("storage")[..], class, &text(key), &text("cpu"), b"K\x01tQ"].concat()
}

/// A tensor of one element.
fn tensor(key: &str) -> Vec<u8> {
    let function = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    [&function[..], &storage(key), b"K\0K\x01\x85K\x01\x85\x89NtR"].concat()
}

/// The count of one element, and the element.
const ONE: &[u8] = b"\x01\0\0\0\0\0\0\0\0\0\x80\x3f";

#[test]
fn dictionaries_that_contain_themselves_end() {
    // {"a": itself} in a file of the old form.
    let error = legacy_problem(b"\x80\x02}q\0X\x01\0\0\0ah\0s.", b"\x80\x02].", b"");
    assert!(error.contains("lies deeper than the 8 levels"), "{error}");
}

#[test]
fn keys_of_storages_are_short_and_come_once() {
    assert!(pickle::load(&[&storage(&"k".repeat(512))[..], b"."].concat()).is_ok());
    let error = problem(&[&storage(&"k".repeat(513))[..], b"."].concat()).to_string();
    assert!(error.contains("more bytes in the key of a storage than the 512"), "{error}");

    let object = [b"\x80\x02}", &text("a")[..], &tensor("0"), b"s."].concat();
    let twice = [b"\x80\x02](", &text("0")[..], b"q\0h\0e."].concat();
    let error = legacy_problem(&object, &twice, &[ONE, ONE].concat());
    assert!(error.contains("has `0` more than once"), "{error}");
}

#[test]
fn calls_and_names_share_one_string() {
    let pickle = pickle::load(b"\x80\x02(cnumpy\ndtype\nq\0)Rh\0)Rt.").unwrap();
    let names: Vec<_> = pickle
        .nodes
        .iter()
        .filter_map(|node| match node {
            pickle::Node::Global(name) | pickle::Node::Opaque(name) => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| std::sync::Arc::ptr_eq(name, names[0])));

    let long = format!("c{}\n{}\n.", "m".repeat(300), "n".repeat(300));
    assert!(problem(long.as_bytes()).to_string().contains("more bytes in a name than the 512"));
}

#[test]
fn names_and_metadata_do_not_grow_without_end() {
    // One tensor, and a long name around 17000 short ones.
    let mut object = [b"\x80\x02", &tensor("0")[..], b"q\x000}"].concat();
    object.extend([&text(&"a".repeat(1000))[..], b"}("].concat());
    for number in 0..17_000u16 {
        object.extend([b"M", &number.to_le_bytes()[..], b"h\0"].concat());
    }
    object.extend(b"us.");
    let keys = [b"\x80\x02]", &text("0")[..], b"a."].concat();
    let error = legacy_problem(&object, &keys, ONE);
    assert!(error.contains("more than the 16777216 bytes in all names"), "{error}");

    // One long string under many names.
    let mut object = [b"\x80\x02", &text(&"a".repeat(1000))[..], b"q\x000}("].concat();
    for number in 0..1100 {
        object.extend([&text(&number.to_string())[..], b"h\0"].concat());
    }
    object.extend(b"u.");
    let error = legacy_problem(&object, b"\x80\x02].", b"");
    assert!(error.contains("bytes of numbers and strings beside the weights"), "{error}");
}

#[test]
fn strings_in_lines_are_what_is_between_their_quotes() {
    let root = |bytes: &[u8]| match pickle::load(bytes).unwrap().root() {
        pickle::Node::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    for (bytes, expected) in [
        (&b"S'a'\n."[..], "a"),
        (b"S\"a\"\n.", "a"),
        (b"S\"'a'\"\n.", "'a'"),
        (b"S''\n.", ""),
        (b"V'a'\n.", "'a'"),
    ] {
        assert_eq!(root(bytes), expected);
    }
    for bytes in [&b"Sa\n."[..], b"S'a\n.", b"S'\n.", b"S'a\"\n.", b"S'\\n'\n.", b"V\\u0041\n."] {
        assert!(matches!(problem(bytes), PickleProblem::Malformed { offset: 1, .. }), "{bytes:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    assert_eq!(problem(b"\x80\x02"), PickleProblem::Truncated { offset: 2 });
    assert_eq!(
        problem(b"\x80\x09."),
        PickleProblem::Malformed { offset: 1, expected: "a protocol from 0 to 5" }
    );
    assert_eq!(problem(b"\x80\x02h\x07."), PickleProblem::NotStored { offset: 2, index: 7 });
    assert_eq!(problem(b"\x80\x02\xff."), PickleProblem::UnknownOpcode { opcode: 0xff, offset: 2 });
    assert!(matches!(problem(b"\x80\x02."), PickleProblem::Unexpected { offset: 2, .. }));
    assert!(matches!(problem(b"(K\x01u."), PickleProblem::Unexpected { offset: 3, .. }));
    assert!(matches!(problem(b"}(K\x01u."), PickleProblem::Unexpected { offset: 4, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_pickles_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = pickle::load(&bytes);
    }

    /// Opcodes in any order reach farther than bytes in any order.
    #[test]
    fn random_programs_do_not_panic(
        steps in prop::collection::vec(
            prop::sample::select(vec![
                &b"("[..], b")", b"]", b"}", b"K\x01", b"X\x07\0\0\0storage", b"X\x01\0\0\x000", b"\x85", b"\x86", b"\x87",
                b"t", b"l", b"d", b"a", b"e", b"s", b"u", b"0", b"1", b"2", b"q\0", b"h\0", b"q\x01", b"h\x01", b"\x94", b"Q",
                b"R", b"\x81", b"b", b"N", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n",
                b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n", b"\x93",
                b"cnumpy\nndarray\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"ctorch\nSize\n",
            ]),
            0..40,
        ),
    ) {
        let _ = pickle::load(&[steps.concat(), b".".to_vec()].concat());
    }
}
