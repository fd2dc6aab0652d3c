//! What can be wrong with a PyTorch file.

use super::super::pickle::PickleProblem;

/// What is wrong with a PyTorch file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TorchProblem {
    /// The pickle that describes the tensors is broken, or asks for what is not done.
    #[error("its pickle is refused: {0}")]
    Pickle(#[from] PickleProblem),
    /// A zip archive that cannot be read.
    #[error("its zip archive is broken (a truncated download?): {message}")]
    BadArchive {
        /// The archive reader's words.
        message: String,
    },
    /// A zip archive of something else.
    #[error("it is a zip archive without `data.pkl`: {entries} entries, first `{first}`")]
    OtherArchive {
        /// Number of entries.
        entries: usize,
        /// Name of the first.
        first: String,
    },
    /// A program of TorchScript.
    #[error("it is a TorchScript program, not a state dict (it holds `{entry}`)")]
    TorchScript {
        /// The entry that tells it.
        entry: String,
    },
    /// An entry that is not stored as it is.
    #[error("entry `{entry}` of its zip archive is {how}, expected plain stored bytes")]
    NotStored {
        /// The entry.
        entry: String,
        /// "encrypted" or "compressed".
        how: &'static str,
    },
    /// An entry, or a part of an old file, that is larger than is accepted.
    #[error("{what} takes {found} bytes, the limit is {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// Its size.
        found: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// A pickle that `torch.save` did not write.
    #[error("it is a pickle, but not one that torch.save wrote")]
    NotOfTorch,
    /// Numbers with their most significant byte first.
    #[error("its numbers are big-endian, expected little-endian")]
    BigEndian,
    /// A value where a dictionary of tensors is expected.
    #[error("it holds {found}, expected a dictionary of tensors")]
    NoTensors {
        /// What it holds.
        found: String,
    },
    /// Something among the weights that is none.
    #[error("`{name}` is {found}, expected a tensor")]
    NotTensor {
        /// Its place among the weights.
        name: String,
        /// What it is.
        found: String,
    },
    /// Dictionaries in dictionaries, deeper than any file has them.
    #[error("`{name}` lies deeper than the {limit} levels that are accepted")]
    TooDeep {
        /// The dictionary.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// More names than any file has, or longer ones.
    #[error("its dictionaries hold more than the {limit} {what} that are accepted")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A tensor whose elements are not in the file.
    #[error("tensor `{tensor}` is on storage `{key}`, which the file does not have")]
    NoStorage {
        /// The tensor.
        tensor: String,
        /// The storage.
        key: String,
    },
    /// A storage that is listed twice.
    #[error("its list of storages has `{key}` more than once")]
    RepeatedStorage {
        /// The storage.
        key: String,
    },
    /// A storage that is shorter than it claims.
    #[error(
        "storage `{key}` claims {expected} bytes, the file has {found} (a truncated download?)"
    )]
    ShortStorage {
        /// The storage.
        key: String,
        /// Bytes that its number of elements takes.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// A tensor that reaches beyond its storage, or has impossible sizes.
    #[error(
        "tensor `{tensor}` of shape {shape:?} and strides {strides:?} from element {offset} does not lie in its storage of \
         {count} elements"
    )]
    OutOfStorage {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides, in elements.
        strides: Vec<u64>,
        /// Its first element.
        offset: u64,
        /// Elements of the storage.
        count: u64,
    },
}
