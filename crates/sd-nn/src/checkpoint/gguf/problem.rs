//! What can be wrong with a GGUF file.

/// What is wrong with a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufProblem {
    /// The first bytes are others.
    #[error("it does not begin with `GGUF`")]
    NoMagic,
    /// A version that is not read.
    #[error("it is of version {found}, expected 2 or 3")]
    Version {
        /// The version.
        found: u32,
    },
    /// Numbers with their most significant byte first.
    #[error("its numbers are big-endian, expected little-endian")]
    BigEndian,
    /// It ends within the header.
    #[error("its header ends at byte {offset}, in the middle (a truncated download?)")]
    Truncated {
        /// Length of the file.
        offset: usize,
    },
    /// More or larger things than are accepted.
    #[error("{what} {found}, the limit is {limit}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("the text at byte {offset} is not UTF-8")]
    NotUtf8 {
        /// Where it stands.
        offset: usize,
    },
    /// A kind of value that the format does not have.
    #[error("value `{key}` is of unknown type {found}")]
    UnknownValue {
        /// The value's key.
        key: String,
        /// Its type.
        found: u32,
    },
    /// An alignment that is none.
    #[error("its alignment is {found}, expected a power of two from 8 to {limit}")]
    Alignment {
        /// The alignment.
        found: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// An element type that the format does not have.
    #[error("tensor `{tensor}` is of unknown type {found}")]
    UnknownType {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: u32,
    },
    /// A shape that is no number of blocks, or whose size overflows.
    #[error("tensor `{tensor}` of shape {shape:?} cannot be of type {dtype}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape, outermost dimension first.
        shape: Vec<u64>,
        /// The type's name.
        dtype: &'static str,
    },
    /// A tensor that does not lie in the file, or not where tensors may.
    #[error(
        "tensor `{tensor}` lies at bytes {begin}..{end} of {available}, aligned to {alignment} (a truncated download?)"
    )]
    OutOfRange {
        /// The tensor.
        tensor: String,
        /// First byte, relative to the data.
        begin: u64,
        /// First byte behind it.
        end: u64,
        /// Bytes of data in the file.
        available: u64,
        /// What the first byte has to be a multiple of.
        alignment: u64,
    },
    /// Two tensors in the same bytes.
    #[error("tensors `{first}` and `{second}` overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// A name that stands twice.
    #[error("`{name}` stands twice in the header")]
    Duplicate {
        /// The name.
        name: String,
    },
}
