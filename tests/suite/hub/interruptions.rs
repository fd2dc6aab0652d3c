//! Connections that break.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sd_core::{
    Error,
    hub::{DownloadProgress, HubError, Transfer},
};

use super::{MODEL, Setting, UNET, incomplete};
use crate::common::fixture;

/// What was seen of an attempt.
#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    file: String,
    total: Option<u64>,
    already: u64,
    received: u64,
}

/// What was seen of downloads.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Attempt>>>);

impl DownloadProgress for Seen {
    fn begin(&self, Transfer { file, total, already, .. }: Transfer<'_>) {
        let attempt = Attempt { file: file.to_owned(), total, already, received: 0 };
        self.0.lock().unwrap().push(attempt);
    }

    fn advance(&self, bytes: u64) {
        self.0.lock().unwrap().last_mut().unwrap().received += bytes;
    }
}

fn assert_whole(model: &Path) {
    let expected = fs::read(fixture("tiny-sd1").join(UNET)).unwrap();
    assert!(fs::read(model.join(UNET)).unwrap() == expected);
}

#[test]
fn an_interrupted_download_goes_on() {
    let setting = Setting::new();
    let size = fs::metadata(fixture("tiny-sd1").join(UNET)).unwrap().len();
    let cut = |bytes| setting.server.change(|state| state.cuts.insert(UNET.to_owned(), bytes));
    cut(50_000);
    let error = setting.fetch().unwrap_err();
    assert!(
        matches!(&error, Error::Hub(HubError::Interrupted { file, received: 50_000, expected, .. })
            if file == UNET && *expected == Some(size)),
        "{error}"
    );
    assert_eq!(fs::metadata(&incomplete(&setting)[0]).unwrap().len(), 50_000);
    // What is not whole is not in the cache.
    let offline = || setting.fetch_by(setting.options().offline(true), MODEL);
    assert!(matches!(offline(), Err(Error::Hub(HubError::NotCached { .. }))));

    // The next attempt is cut as well, and tries again by itself.
    setting.server.requests();
    cut(30_000);
    let seen = Seen::default();
    let options = setting.options().retries(1).progress(seen.clone());
    let model = setting.fetch_by(options, MODEL).unwrap();
    let requests = setting.server.requests();
    let from: Vec<usize> = requests
        .iter()
        .filter(|request| request.large && request.path.ends_with(UNET))
        .map(|request| request.from)
        .collect();
    assert_eq!(from, [50_000, 80_000]);
    let attempt =
        |already, received| Attempt { file: UNET.to_owned(), total: Some(size), already, received };
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen[..2], [attempt(50_000, 30_000), attempt(80_000, size - 80_000)]);
    assert_whole(&model);
    assert!(incomplete(&setting).is_empty());
    assert_eq!(offline().unwrap(), model);
}

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let setting = Setting::new();
    setting.server.change(|state| {
        state.cuts.insert(UNET.to_owned(), 50_000);
        state.whole = true;
    });
    assert!(setting.fetch().is_err());
    let model = setting.fetch().unwrap();
    assert_whole(&model);
}

#[test]
fn a_silent_connection_is_a_broken_one() {
    let setting = Setting::new();
    setting.server.change(|state| {
        state.cuts.insert(UNET.to_owned(), 50_000);
        state.silence = Duration::from_secs(60);
    });
    let start = Instant::now();
    let options = || setting.options().timeout(Duration::from_millis(500));
    let error = setting.fetch_by(options(), MODEL).unwrap_err();
    assert!(matches!(error, Error::Hub(HubError::Interrupted { received: 50_000, .. })), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_whole(&setting.fetch_by(options(), MODEL).unwrap());
}
