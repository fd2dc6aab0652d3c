//! Trying again.

use std::{thread, time::Duration};

use super::HubError;

/// The longest pause after an attempt that brought something.
const PAUSE: Duration = Duration::from_secs(1);

/// Tries again while the Hub is out of order: at once, then after pauses that grow. An attempt that got further than those
/// before it does not count: a large file may break off many times, and arrives none the less.
pub(super) fn retrying<T>(
    retries: usize,
    mut attempt: impl FnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let (mut left, mut furthest) = (retries, 0);
    let mut pause = Duration::ZERO;
    loop {
        let error = match attempt() {
            Err(error) if error.is_outage() => error,
            other => return other,
        };
        if let HubError::Interrupted { received, .. } = error
            && received > furthest
        {
            (left, furthest, pause) = (retries, received, pause.min(PAUSE));
        }
        let Some(fewer) = left.checked_sub(1) else { return Err(error) };
        left = fewer;
        tracing::debug!("{error}");
        thread::sleep(pause);
        pause = (pause * 2).max(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Server, *};

    fn attempts(retries: usize, error: impl Fn(u64) -> HubError) -> u64 {
        let mut attempts = 0;
        let result: Result<(), _> = retrying(retries, || {
            attempts += 1;
            Err(error(attempts))
        });
        assert!(result.is_err());
        attempts
    }

    #[test]
    fn only_outages_are_tried_again() {
        let status =
            |status, server| move |_| HubError::Status { url: "u".to_owned(), status, server };
        assert_eq!(attempts(1, status(503, Server::Hub)), 2);
        assert_eq!(attempts(5, status(418, Server::Hub)), 1);
        assert_eq!(attempts(5, status(403, Server::Hub)), 1);
        assert_eq!(attempts(1, status(403, Server::Other)), 2, "its address was good for minutes");
    }

    #[test]
    fn what_arrives_gives_new_attempts() {
        let interrupted = |received| HubError::Interrupted {
            file: "f".to_owned(),
            received,
            expected: None,
            problem: "p".to_owned(),
        };
        // It is cut further on twice, then at the same place.
        assert_eq!(attempts(1, |attempt| interrupted(attempt.min(2))), 3);
        assert_eq!(attempts(0, interrupted), 1);
    }
}
