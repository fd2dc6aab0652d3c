//! Where the Hub and its cache are.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::{DownloadProgress, url::shown};

/// The Hub itself.
pub(super) const ENDPOINT: &str = "https://huggingface.co";

/// Shorter times are mistakes of their unit, and longer ones overflow clocks.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

/// How the Hub is asked, and where its files are kept. [`from_env`](Self::from_env) reads what Hugging Face's own tools read.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// The Hub's address, without a slash at its end. Default: `https://huggingface.co`.
    pub endpoint: String,
    /// Where files are kept, in the layout of `huggingface_hub`, which finds what is downloaded here and the other way round.
    pub cache: PathBuf,
    /// The token of an account, sent to the Hub and to nobody else. Default: none.
    pub token: Option<String>,
    /// Whether the cache has to do, and nothing is asked of the Hub. Default: it is asked.
    pub offline: bool,
    /// How often a file is tried again of which nothing more arrived, each time from where it stopped. Default: 5.
    pub retries: usize,
    /// How long nothing may arrive before a connection counts as broken, from a second to a day. An answer may begin 30
    /// seconds after its request, if that is longer. Default: 10 seconds.
    pub timeout: Duration,
    /// Who watches downloads. Default: nobody.
    pub progress: Option<Arc<dyn DownloadProgress>>,
    /// Between here and the Hub.
    pub(super) proxy: Option<ureq::Proxy>,
}

impl HubOptions {
    /// The defaults, whatever the environment says, with a place for the files.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            retries: 5,
            timeout: Duration::from_secs(10),
            progress: None,
            proxy: None,
        }
    }

    /// Sets the Hub's address, for mirrors.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = endpoint.trim_end_matches('/').to_owned();
        self
    }

    /// Sets the token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets whether the cache has to do.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Sets how often a file is tried again.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Sets how long nothing may arrive: at least a second, at most a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.timeout = self.waiting();
        self
    }

    /// The timeout, whatever was written into its field.
    pub(super) fn waiting(&self) -> Duration {
        let (shortest, longest) = TIMEOUTS;
        self.timeout.clamp(shortest, longest)
    }

    /// Sets who watches.
    pub fn progress(mut self, progress: impl DownloadProgress + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs are no place for a token, nor for the password of a proxy.
        f.debug_struct("HubOptions")
            .field("endpoint", &shown(&self.endpoint))
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("retries", &self.retries)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_do_not_have_passwords() {
        let options = HubOptions::new("c").endpoint("https://ada:word@hub.co/").token("hf_x");
        let text = format!("{options:?}");
        assert!(
            text.contains("https://hub.co") && !text.contains("word") && !text.contains("hf_x")
        );
    }

    #[test]
    fn timeouts_do_not_overflow() {
        let mut options = HubOptions::new("c").timeout(Duration::MAX);
        assert_eq!(options.timeout, TIMEOUTS.1);
        options.timeout = Duration::ZERO;
        assert_eq!(options.waiting(), TIMEOUTS.0);
    }
}
