//! What is in the cache already, and is not what it should be.

use std::{fs, path::PathBuf};

use super::{Setting, UNET, blobs, incomplete};
use crate::{common::fixture, hub_server::answers::sha256};

fn content() -> Vec<u8> {
    fs::read(fixture("tiny-sd1").join(UNET)).unwrap()
}

/// Puts something where the U-Net's content is to be.
fn leave(setting: &Setting, end: &str, remains: &[u8]) -> PathBuf {
    fs::create_dir_all(setting.in_cache("blobs")).unwrap();
    let path = setting.in_cache(&format!("blobs/{}{end}", sha256(&content())));
    fs::write(&path, remains).unwrap();
    path
}

fn assert_mended(setting: &Setting) {
    let model = setting.fetch().unwrap();
    assert!(fs::read(model.join(UNET)).unwrap() == content());
    assert!(incomplete(setting).is_empty());
}

#[test]
fn a_bad_beginning_is_begun_anew() {
    let whole = content();
    for remains in [vec![7; 1000], vec![7; whole.len()], vec![7; whole.len() + 10]] {
        let setting = Setting::new();
        leave(&setting, ".incomplete", &remains);
        assert_mended(&setting);
    }
}

#[test]
fn a_file_of_unknown_size_may_be_there_already() {
    let whole = content();
    for remains in [whole.clone(), [&whole[..], &whole[..9]].concat(), whole[..1000].to_vec()] {
        let setting = Setting::new();
        setting.server.change(|state| state.sizeless = true);
        leave(&setting, ".incomplete", &remains);
        assert_mended(&setting);
    }
}

#[test]
fn a_cut_content_is_fetched_anew() {
    let setting = Setting::new();
    leave(&setting, "", &content()[..1000]);
    assert_mended(&setting);
}

#[cfg(unix)]
#[test]
fn a_link_is_not_written_through() {
    let setting = Setting::new();
    let path = leave(&setting, ".incomplete", b"");
    let other = setting.cache.path().join("other");
    fs::write(&other, "another's").unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert_mended(&setting);
    assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
}

#[test]
fn a_redirect_that_says_what_a_file_is_counts() {
    let setting = Setting::new();
    setting.server.change(|state| state.near = true);
    assert_mended(&setting);
    assert!(blobs(&setting).contains(&sha256(&content())));
}
