//! What the Hub, or its cache, does not give.

use std::fs;

use sd_core::{
    Error, LoadOptions, ModelError,
    backend::Cpu,
    hub::{Hub, HubError, HubOptions, Token},
    sd_nn::checkpoint::CheckpointError,
};

use super::{MODEL, Setting, UNET, incomplete};
use crate::common::fixture;

/// The error of a request for a model, and its text.
fn refused(setting: &Setting, options: HubOptions, model: &str) -> (HubError, String) {
    let error = setting.fetch_by(options, model).unwrap_err();
    let text = error.to_string();
    match error {
        Error::Hub(error) => (error, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_hub_does_not_have_is_told() {
    let setting = Setting::new();
    let says = |model: &str| refused(&setting, setting.options(), model);
    let (error, text) = says("ada/other");
    assert!(matches!(error, HubError::NoRepository { token: Token::None, .. }), "{error:?}");
    for part in [&setting.server.endpoint, "ada/other", "HF_TOKEN"] {
        assert!(text.contains(part), "{text}");
    }
    let (error, text) = says("ada/tiny@v2");
    assert!(matches!(error, HubError::NoRevision { .. }) && text.contains("no revision v2"));
    setting.server.files(|files| files.insert("v1-5.ckpt".to_owned(), Vec::new()));
    let (error, text) = says("ada/tiny/v1-4.ckpt");
    assert!(
        matches!(error, HubError::NoFile { .. }) && text.contains("it has v1-5.ckpt"),
        "{text}"
    );
    setting.server.files(|files| files.remove("model_index.json"));
    let (error, text) = says(MODEL);
    assert!(matches!(error, HubError::NoIndex { .. }) && text.contains("v1-5.ckpt"), "{text}");
    let (error, text) = says("no model");
    assert!(matches!(error, HubError::Name { .. }) && text.contains("OWNER/MODEL"), "{text}");
}

#[test]
fn gates_are_told_and_opened_by_a_token() {
    let setting = Setting::new();
    setting.server.change(|state| state.gated.push(MODEL.to_owned()));
    let gated = |options| {
        let (error, text) = refused(&setting, options, MODEL);
        let terms = format!("accept its terms at {}/{MODEL}", setting.server.endpoint);
        assert!(text.contains(&terms), "{text}");
        match error {
            HubError::Gated { token, .. } => token,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gated(setting.options()), Token::None);
    assert_eq!(gated(setting.options().token("hf_other")), Token::Sent);
    setting.fetch_by(setting.options().token(super::TOKEN), MODEL).unwrap();

    setting.server.change(|state| state.status = Some(401));
    let options = setting.options().token("hf_old");
    let (error, text) = refused(&setting, options, MODEL);
    assert!(matches!(error, HubError::Denied { status: 401, .. }) && !text.contains("hf_old"));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../../../escape.json", "unet/../../../x", "/etc/x", "a\\..\\b", "C:/x"] {
        let setting = Setting::new();
        setting.server.files(|files| files.insert(name.to_owned(), b"x".to_vec()));
        let (error, text) = refused(&setting, setting.options(), MODEL);
        assert!(matches!(error, HubError::UnsafeName { .. }), "{error:?}");
        assert!(text.contains(&name.escape_debug().to_string()), "{text}");
        assert_eq!(setting.server.requests().len(), 1, "nothing is downloaded");
        assert!(!setting.in_cache("snapshots").exists());
    }
    // A hash is a name, too, and so are the shards of an index.
    let setting = Setting::new();
    setting.server.change(|state| state.hash = Some("../../hash".to_owned()));
    assert!(matches!(refused(&setting, setting.options(), MODEL).0, HubError::UnsafeName { .. }));
    let setting = Setting::new();
    setting.server.files(|files| {
        let index = br#"{"weight_map": {"a": "../../../escape.safetensors"}}"#.to_vec();
        files.insert("unet/diffusion_pytorch_model.safetensors.index.json".to_owned(), index);
    });
    let error = setting.fetch().unwrap_err();
    assert!(matches!(&error, Error::Checkpoint(CheckpointError::InvalidIndex { .. })), "{error}");
}

#[test]
fn what_arrives_broken_is_not_kept() {
    let setting = Setting::new();
    setting.server.change(|state| state.broken.push(UNET.to_owned()));
    let (error, _) = refused(&setting, setting.options(), MODEL);
    assert!(matches!(&error, HubError::Corrupt { file, measure: "SHA-256", .. } if file == UNET));
    assert!(incomplete(&setting).is_empty());
    setting.server.change(|state| {
        state.broken.clear();
        state.doubled.push(UNET.to_owned());
    });
    let (error, _) = refused(&setting, setting.options(), MODEL);
    assert!(matches!(&error, HubError::Corrupt { file, measure: "size", .. } if file == UNET));
    assert!(incomplete(&setting).is_empty());
    setting.server.change(|state| state.doubled.clear());
    setting.fetch().unwrap();
}

#[test]
fn what_nobody_would_read_is_not_downloaded() {
    let setting = Setting::new();
    setting.server.change(|state| state.size = Some(1 << 40));
    let (error, text) = refused(&setting, setting.options(), MODEL);
    assert!(matches!(error, HubError::TooLarge { size: Some(_), .. }), "{error:?}");
    assert!(text.contains("model_index.json") && text.contains("1099511627776"), "{text}");
    assert!(setting.sent().is_empty() && !setting.in_cache("blobs").exists());
}

#[test]
fn offline_mode_names_what_is_missing() {
    let setting = Setting::new();
    let offline = || setting.options().offline(true);
    let missing = |model: &str| match refused(&setting, offline(), model).0 {
        HubError::NotCached { missing, .. } => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(MODEL), "every file");
    let model = setting.fetch().unwrap();
    assert_eq!(missing("ada/tiny@v2"), "every file");
    for (file, named) in [
        (UNET, "the unet's weights"),
        ("vae/config.json", "vae/config.json"),
        ("model_index.json", "model_index.json"),
    ] {
        fs::remove_file(model.join(file)).unwrap();
        assert_eq!(missing(MODEL), named);
        setting.fetch().unwrap();
    }
    fs::remove_file(model.join("tokenizer/tokenizer.json")).unwrap();
    fs::remove_file(model.join("tokenizer/merges.txt")).unwrap();
    assert_eq!(missing(MODEL), "tokenizer/merges.txt");
    let error = setting.fetch_by(offline(), "ada/tiny/v1.ckpt").unwrap_err().to_string();
    assert!(error.contains("v1.ckpt") && error.contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn outages_and_foreign_answers_are_told() {
    let setting = Setting::new();
    let (error, _) = refused(&setting, setting.options().endpoint("http://127.0.0.1:1"), MODEL);
    assert!(matches!(&error, HubError::Unreachable { url, .. } if url.contains("ada/tiny")));
    setting.server.change(|state| state.status = Some(503));
    let (error, _) = refused(&setting, setting.options(), MODEL);
    assert!(matches!(error, HubError::Status { status: 503, .. }), "{error:?}");
    setting.server.change(|state| state.status = Some(200));
    let (error, _) = refused(&setting, setting.options(), MODEL);
    assert!(matches!(error, HubError::Answer { .. }), "{error:?}");
}

/// Mistakes of a model show before its weights come.
#[test]
fn foreign_models_are_refused_at_once() {
    let setting = Setting::new();
    let change = |from: &str, to: &str| {
        setting.server.files(|files| {
            let index = files.get_mut("model_index.json").unwrap();
            let text = String::from_utf8(index.clone()).unwrap();
            *index = text.replace(from, to).into_bytes();
        });
        // The same commit, so the cache has to be another.
        fs::remove_dir_all(setting.in_cache("")).ok();
        setting.server.requests();
        let error = setting.fetch().unwrap_err();
        assert!(setting.server.requests().iter().all(|request| !request.large), "{error}");
        error
    };
    let error = change("UNet2DConditionModel", "UNetSpatioTemporal");
    assert!(matches!(error, Error::Model(ModelError::ComponentClass { component: "unet", .. })));
    let error = change("\"StableDiffusionPipeline\"", "\"FluxPipeline\"");
    assert!(matches!(error, Error::Model(ModelError::Class { .. })), "{error}");
}

/// A text encoder that has no place in a model is told before its weights come.
#[test]
fn what_cannot_be_replaced_is_told_at_once() {
    let setting = Setting::of(&fixture("tiny-sdxl-refiner"));
    let other = fixture("tiny-sd1/text_encoder");
    let loading = LoadOptions::<Cpu>::default().text_encoder(other);
    let hub = Hub::new(setting.options());
    let error = hub.fetch(&MODEL.parse().unwrap(), &loading).unwrap_err();
    assert!(
        matches!(&error, Error::Model(ModelError::MissingComponent { component, .. })
            if *component == "text_encoder"),
        "{error}"
    );
    assert!(setting.server.requests().iter().all(|request| !request.large));
}
