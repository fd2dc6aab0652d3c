//! A Hub that is out of order at times.

use std::fs;

use sd_core::{
    Error,
    hub::{HubError, Server},
};

use super::{MODEL, Setting, UNET};
use crate::hub_server::{MAIN, OTHER, Part};

/// Makes requests for parts fail, once each.
fn stumble(setting: &Setting, stumbles: &[(Part, u16)]) {
    setting.server.change(|state| state.stumbles = stumbles.to_vec());
}

#[test]
fn a_commit_counts_when_all_of_it_is_there() {
    let setting = Setting::new();
    let old = setting.fetch().unwrap();
    // There is a new commit, and the Hub breaks down after it has said so.
    setting.server.change(|state| state.commit = Some(OTHER));
    setting.server.files(|files| files.get_mut("model_index.json").unwrap().push(b' '));
    stumble(&setting, &[(Part::File, 503)]);
    assert_eq!(setting.fetch().unwrap(), old);
    assert_eq!(fs::read_to_string(setting.in_cache("refs/main")).unwrap(), MAIN);
    let offline = || setting.fetch_by(setting.options().offline(true), MODEL).unwrap();
    assert_eq!(offline(), old);
    // And again, when a part of it is there.
    stumble(&setting, &[(Part::Large, 503)]);
    setting.server.files(|files| files.get_mut(UNET).unwrap().push(0));
    assert_eq!(setting.fetch().unwrap(), old);
    assert_eq!(offline(), old);
    let new = setting.fetch().unwrap();
    assert!(new.ends_with(OTHER));
    assert_eq!(offline(), new);
}

#[test]
fn lists_and_files_are_asked_for_again() {
    let setting = Setting::new();
    // Addresses at the other server were good for minutes.
    stumble(&setting, &[(Part::Listing, 502), (Part::File, 429), (Part::Large, 403)]);
    setting.fetch_by(setting.options().retries(1), MODEL).unwrap();
    setting.server.change(|state| assert!(state.stumbles.is_empty()));
}

#[test]
fn refusals_of_other_servers_are_none_of_the_hub() {
    for status in [401, 403, 404] {
        let setting = Setting::new();
        stumble(&setting, &[(Part::Large, status)]);
        let error = setting.fetch().unwrap_err();
        assert!(
            matches!(&error, Error::Hub(HubError::Status { status: found, server: Server::Other, .. })
                if *found == status),
            "{error:?}"
        );
    }
}

#[test]
fn a_commit_is_the_one_that_was_asked_for() {
    let setting = Setting::new();
    setting.server.change(|state| state.commit = Some(OTHER));
    let error = setting.fetch_by(setting.options(), &format!("{MODEL}@{MAIN}")).unwrap_err();
    assert!(matches!(error, Error::Hub(HubError::Answer { .. })), "{error}");
}
