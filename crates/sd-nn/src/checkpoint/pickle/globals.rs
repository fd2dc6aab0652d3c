//! Names of Python that checkpoints use.

use safetensors::Dtype;

/// Packages whose objects trainers leave beside the weights. They become opaque values.
const OPAQUE_PACKAGES: &[&str] = &[
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "omegaconf",
    "numpy",
];

/// Single classes and functions of the same kind.
const OPAQUE_NAMES: &[&str] = &[
    "_codecs.encode",
    "argparse.Namespace",
    "collections.Counter",
    "collections.defaultdict",
    "collections.deque",
    "datetime.datetime",
    "datetime.timedelta",
    "decimal.Decimal",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.Generator",
    "torch.device",
    "uuid.UUID",
];

/// Plain values of Python's own, by the names of Python 2 and 3.
const OPAQUE_BUILTINS: &[&str] =
    &["bytearray", "complex", "dict", "frozenset", "list", "object", "set", "slice", "tuple"];

/// Whether a call of this name gives a value that may stand beside the weights.
pub(super) fn is_opaque(name: &str) -> bool {
    let in_package =
        |package: &&str| name.strip_prefix(*package).is_some_and(|rest| rest.starts_with('.'));
    let builtin = name.strip_prefix("builtins.").or_else(|| name.strip_prefix("__builtin__."));
    OPAQUE_PACKAGES.iter().any(in_package)
        || OPAQUE_NAMES.contains(&name)
        || builtin.is_some_and(|builtin| OPAQUE_BUILTINS.contains(&builtin))
}

/// The element type of a storage class; bytes for untyped ones.
pub(super) fn storage_dtype(name: &str) -> Option<Dtype> {
    let class = name
        .strip_prefix("torch.cuda.")
        .or_else(|| name.strip_prefix("torch.storage."))
        .or_else(|| name.strip_prefix("torch."))?;
    Some(match class {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return None,
    })
}

/// The element type of a `torch.dtype`.
pub(super) fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name.strip_prefix("torch.")? {
        "float64" => Dtype::F64,
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::BOOL,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "complex64" => Dtype::C64,
        _ => return None,
    })
}
