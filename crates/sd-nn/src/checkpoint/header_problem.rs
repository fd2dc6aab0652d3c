//! What can be wrong with a safetensors header.

use safetensors::Dtype;

use super::header::MAX_HEADER_BYTES;

/// What is wrong with a safetensors header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// Too short to hold even the header's length.
    #[error("{found} bytes long, expected at least 8")]
    TooShort {
        /// Length of the file.
        found: usize,
    },
    /// A header length that no file has.
    #[error("header length is {found} bytes, the limit is {MAX_HEADER_BYTES}")]
    TooLarge {
        /// Length of the header as the file states it.
        found: u64,
    },
    /// A header that ends after the file.
    #[error(
        "header length is {header} bytes, but only {available} bytes follow (a truncated download?)"
    )]
    BeyondFile {
        /// Length of the header as the file states it.
        header: u64,
        /// Bytes after the length.
        available: u64,
    },
    /// A header that is not UTF-8.
    #[error("header is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Offset into the header of the first wrong byte.
        offset: usize,
    },
    /// A header that is not the JSON expected there.
    #[error("header is not the JSON expected: {message}")]
    NotJson {
        /// The parser's words, with line and column.
        message: String,
    },
    /// A name that stands twice in the header.
    #[error("key `{name}` stands twice in the header")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A dtype that the format does not have.
    #[error("tensor `{tensor}` has unknown dtype `{dtype}`")]
    UnknownDtype {
        /// The tensor.
        tensor: String,
        /// Its dtype as the file states it.
        dtype: String,
    },
    /// A shape whose size is not a number of bytes.
    #[error("tensor `{tensor}` has shape {shape:?} and dtype {dtype}, whose size overflows")]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its dtype.
        dtype: Dtype,
    },
    /// An end before its beginning.
    #[error("tensor `{tensor}` ends at byte {end}, before its beginning at {begin}")]
    Reversed {
        /// The tensor.
        tensor: String,
        /// First byte, relative to the data.
        begin: u64,
        /// First byte behind it.
        end: u64,
    },
    /// Bytes that the file does not have.
    #[error(
        "tensor `{tensor}` lies at bytes {begin}..{end} of {available} (a truncated download?)"
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
    },
    /// A range that is no whole number of elements.
    #[error(
        "tensor `{tensor}` at bytes {begin}..{end} is misaligned: no whole number of {dtype} elements"
    )]
    Misaligned {
        /// The tensor.
        tensor: String,
        /// First byte, relative to the data.
        begin: u64,
        /// First byte behind it.
        end: u64,
        /// Its dtype.
        dtype: Dtype,
    },
    /// A range that is longer or shorter than shape and dtype say.
    #[error(
        "tensor `{tensor}` of shape {shape:?} and dtype {dtype} takes {expected} bytes, found {found}"
    )]
    SizeMismatch {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its dtype.
        dtype: Dtype,
        /// Bytes that shape and dtype ask for.
        expected: u64,
        /// Bytes between the offsets.
        found: u64,
    },
    /// Two tensors in the same bytes.
    #[error("tensors `{first}` and `{second}` overlap at byte {at}")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
        /// Where the second begins, relative to the data.
        at: u64,
    },
    /// Bytes before a tensor that belong to none.
    #[error(
        "tensor `{tensor}` begins at byte {begin}, expected {expected}: the bytes between belong to no tensor"
    )]
    Gap {
        /// The tensor behind the gap.
        tensor: String,
        /// Where the tensor before it ends.
        expected: u64,
        /// Where it begins.
        begin: u64,
    },
    /// Bytes at the end that belong to no tensor.
    #[error("the header describes {described} bytes of data, found {found}")]
    TrailingData {
        /// Where the last tensor ends, relative to the data.
        described: u64,
        /// Bytes of data in the file.
        found: u64,
    },
}

impl HeaderProblem {
    /// Whether the bytes may well be no safetensors file at all.
    pub(crate) fn suggests_foreign(&self) -> bool {
        matches!(
            self,
            Self::TooShort { .. }
                | Self::TooLarge { .. }
                | Self::BeyondFile { .. }
                | Self::NotUtf8 { .. }
                | Self::NotJson { .. }
        )
    }
}
