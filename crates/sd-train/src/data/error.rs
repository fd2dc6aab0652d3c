//! Data that cannot be used.

use std::path::PathBuf;

/// Why a data set, or a part of it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or directory that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The operating system's own words.
        source: std::io::Error,
    },
    /// A line of `metadata.jsonl` that is no object with `file_name` and `text`.
    #[error("{}, line {line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A `file_name` that leads out of the folder.
    #[error("{}, line {line}: `{file_name}` is not inside the folder", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The name.
        file_name: String,
    },
    /// A picture that cannot be decoded.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The picture.
        path: PathBuf,
        /// The decoder's own words.
        source: image::ImageError,
    },
    /// Nothing to train on.
    #[error("{}: no usable picture with a caption ({skipped} skipped)", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// How many were skipped.
        skipped: usize,
    },
}
