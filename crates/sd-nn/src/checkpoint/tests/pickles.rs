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

#[test]
fn dictionaries_that_contain_themselves_end() {
    // {"a": itself} in a file of the old form.
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let object = b"\x80\x02}q\0X\x01\0\0\0ah\0s.\x80\x02].";
    let scratch = Scratch::new();
    let path = scratch.write("cycle.pt", &[&magic[..], system, object].concat());
    let error = TorchFile::open(path).unwrap_err().to_string();
    assert!(error.contains("lies deeper than the 8 levels"), "{error}");
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
