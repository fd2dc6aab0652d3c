//! What is seen of downloads.

/// A file that is being downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer<'a> {
    /// Its name in the repository.
    pub file: &'a str,
    /// How many bytes it has, if the Hub said so.
    pub total: Option<u64>,
    /// How many of them an earlier attempt has left.
    pub already: u64,
}

/// Watches downloads. Files come one after the other; what is in the cache is not seen.
///
/// ```
/// use sd_core::hub::{DownloadProgress, HubOptions, Transfer};
///
/// struct Names;
///
/// impl DownloadProgress for Names {
///     fn begin(&self, transfer: Transfer<'_>) {
///         eprintln!("{}", transfer.file);
///     }
/// }
///
/// let options = HubOptions::new("cache").progress(Names);
/// ```
pub trait DownloadProgress: Send + Sync {
    /// A file begins, or goes on after its connection broke.
    fn begin(&self, transfer: Transfer<'_>) {
        let _ = transfer;
    }

    /// More bytes of it are there.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// It is there, or its connection broke.
    fn end(&self) {}
}
