//! What can be wrong with a pickle.

/// What is wrong with a pickle. Offsets count from its first byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleProblem {
    /// It asks for a function that is not among those of which checkpoints are made.
    #[error(
        "it asks to call `{name}` (byte {offset}), which is not among what checkpoints are made of; nothing was executed"
    )]
    Forbidden {
        /// The function or class, `module.name`.
        name: String,
        /// Where the call stands.
        offset: usize,
    },
    /// It ends in the middle.
    #[error("it ends at byte {offset}, in the middle (a truncated download?)")]
    Truncated {
        /// Where more bytes were expected.
        offset: usize,
    },
    /// An opcode that no checkpoint needs.
    #[error(
        "opcode 0x{opcode:02x} at byte {offset} is not among those that checkpoints are made of"
    )]
    UnknownOpcode {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        offset: usize,
    },
    /// A value of another kind than its use asks for.
    #[error("byte {offset} needs {expected}, found {found}")]
    Unexpected {
        /// Where the value is used.
        offset: usize,
        /// What would do.
        expected: &'static str,
        /// What there is.
        found: String,
    },
    /// A value of the memo that was never put there.
    #[error("byte {offset} recalls value {index}, which was never stored")]
    NotStored {
        /// Where it is recalled.
        offset: usize,
        /// Under which number.
        index: u64,
    },
    /// Text that is not UTF-8, or a number that is none.
    #[error("byte {offset} is not {expected}")]
    Malformed {
        /// Where it stands.
        offset: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// More of something than is accepted.
    #[error("it has more {what} than the {limit} that are accepted")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}
