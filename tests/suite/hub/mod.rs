//! Models of a Hub that runs on this machine. Neither the network nor the user's cache, token or environment is used.

mod interruptions;
mod outages;
mod refusals;
mod remains;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sd_core::{
    Error, LoadOptions, Pipeline, TextToImage,
    backend::Cpu,
    hub::{Hub, HubError, HubOptions},
    sd_nn::checkpoint::SingleFileOptions,
};
use tempfile::TempDir;

use crate::{
    common::fixture,
    hub_server::{
        HubServer, MAIN, OTHER, Request, TOKEN,
        answers::{git_hash, is_large, sha256},
    },
};

const MODEL: &str = "ada/tiny";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const UNET_HALF: &str = "unet/diffusion_pytorch_model.fp16.safetensors";

/// A Hub with the tiny model, and a cache.
struct Setting {
    server: HubServer,
    cache: TempDir,
}

impl Setting {
    fn new() -> Self {
        Self::of(&fixture("tiny-sd1"))
    }

    fn of(model: &Path) -> Self {
        Self { server: HubServer::of(MODEL, model), cache: TempDir::new().unwrap() }
    }

    /// A cut is an error.
    fn options(&self) -> HubOptions {
        HubOptions::new(self.cache.path()).endpoint(&self.server.endpoint).retries(0)
    }

    fn fetch_by(&self, options: HubOptions, model: &str) -> Result<PathBuf, Error> {
        Hub::new(options).fetch(&model.parse()?, &LoadOptions::<Cpu>::default())
    }

    fn fetch(&self) -> Result<PathBuf, Error> {
        self.fetch_by(self.options(), MODEL)
    }

    fn fetch_variant(&self, variant: &str) -> Result<PathBuf, Error> {
        let options = LoadOptions::<Cpu>::default().variant(variant);
        Hub::new(self.options()).fetch(&MODEL.parse()?, &options)
    }

    fn in_cache(&self, path: &str) -> PathBuf {
        self.cache.path().join("models--ada--tiny").join(path)
    }

    /// Names of the files that were sent, without those that were only asked about.
    fn sent(&self) -> Vec<String> {
        let end = |request: Request| {
            let (_, name) = request.path.split_once(MAIN)?;
            (request.method == "GET").then(|| name.trim_start_matches('/').to_owned())
        };
        let mut names: Vec<String> = self.server.requests().into_iter().filter_map(end).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The bytes of a picture of a model.
fn picture(model: &Path, options: &LoadOptions<Cpu>) -> Vec<u8> {
    let pipeline = Pipeline::from_pretrained(model, options).unwrap();
    let request = TextToImage::new("a cat! on a mat").size(32, 16).steps(3).seed(7);
    pipeline.generate(&request).unwrap().remove(0).into_raw()
}

/// The names of what is among the contents.
fn blobs(setting: &Setting) -> BTreeSet<String> {
    let blobs = fs::read_dir(setting.in_cache("blobs")).unwrap();
    blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// `.incomplete` files.
fn incomplete(setting: &Setting) -> Vec<PathBuf> {
    let blobs = fs::read_dir(setting.in_cache("blobs")).unwrap();
    let paths = blobs.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "incomplete")).collect()
}

#[test]
fn a_model_of_the_hub_makes_the_picture_of_its_directory() {
    let setting = Setting::new();
    let needed: Vec<String> = setting.server.files(|files| {
        let needed = files.keys().cloned().collect();
        for more in [
            "README.md",
            ".gitattributes",
            UNET_HALF,
            "unet/diffusion_pytorch_model.bin",
            "safety_checker/model.safetensors",
            "v1-5.ckpt",
            "unet/model.onnx",
            "vae/deep/config.json",
        ] {
            files.insert(more.to_owned(), b"not read".to_vec());
        }
        needed
    });
    let model = setting.fetch_by(setting.options().token(TOKEN), MODEL).unwrap();
    assert!(model.starts_with(setting.in_cache("snapshots")));
    let loading = LoadOptions::default();
    assert!(picture(&model, &loading) == picture(&fixture("tiny-sd1"), &loading));

    let requests = setting.server.requests();
    let token_of = |large| {
        let mut tokens: Vec<_> = requests
            .iter()
            .filter(|request| request.large == large)
            .map(|r| r.token.as_deref())
            .collect();
        tokens.dedup();
        tokens
    };
    assert_eq!(token_of(false), [Some(TOKEN)]);
    assert_eq!(token_of(true), [None], "a token is for the Hub alone");
    let mut sent: Vec<&str> = requests
        .iter()
        .filter(|request| request.method == "GET")
        .filter_map(|request| Some(request.path.split_once(MAIN)?.1.trim_start_matches('/')))
        .collect();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent, needed, "nothing but what is read");

    // A commit never changes: only which one it is is asked again.
    assert_eq!(setting.fetch().unwrap(), model);
    assert_eq!(setting.server.requests().len(), 1);
    // And nothing at all in offline mode, by any name of the commit.
    setting.server.change(|state| state.status = Some(500));
    for name in [MODEL.to_owned(), format!("{MODEL}@{MAIN}")] {
        assert_eq!(setting.fetch_by(setting.options().offline(true), &name).unwrap(), model);
    }
    assert!(setting.server.requests().is_empty());
    // Nor does it matter that the Hub is out of order.
    assert_eq!(setting.fetch().unwrap(), model);
    let unreachable = setting.options().endpoint("http://127.0.0.1:1");
    assert_eq!(setting.fetch_by(unreachable, MODEL).unwrap(), model);
}

#[test]
fn the_cache_is_that_of_python() {
    let setting = Setting::new();
    setting.fetch_by(setting.options(), "ada/tiny@refs/pr/1").unwrap();
    setting.fetch().unwrap();
    let text = |path| fs::read_to_string(setting.in_cache(path)).unwrap();
    assert_eq!((text("refs/main").as_str(), text("refs/refs/pr/1").as_str()), (MAIN, OTHER));
    let file = |commit| setting.in_cache(&format!("snapshots/{commit}/{UNET}"));
    let content = fs::read(fixture("tiny-sd1").join(UNET)).unwrap();
    for commit in [MAIN, OTHER] {
        assert!(fs::read(file(commit)).unwrap() == content);
        #[cfg(unix)]
        assert!(fs::read_link(file(commit)).unwrap().starts_with("../../../blobs"));
    }
    // Contents have the very names that Python gives them.
    let hash = |(name, content): (&String, &Vec<u8>)| match is_large(name) {
        true => sha256(content),
        false => git_hash(content),
    };
    let hashes: BTreeSet<String> = setting.server.files(|files| files.iter().map(hash).collect());
    assert_eq!(blobs(&setting), hashes);
    let downloads = |request: &Request| request.method == "GET" && request.path.ends_with(UNET);
    let large = setting.server.requests().into_iter().filter(|request| request.large);
    assert_eq!(large.filter(downloads).count(), 1, "commits share what they have in common");
}

#[test]
fn variants_are_chosen_as_in_a_directory() {
    let setting = Setting::new();
    let content = setting.server.files(|files| {
        let content = files[UNET].clone();
        files.insert(UNET_HALF.to_owned(), content.clone());
        content
    });
    let model = setting.fetch_variant("fp16").unwrap();
    assert!(fs::read(model.join(UNET_HALF)).unwrap() == content);
    assert!(!model.join(UNET).exists(), "the plain weights are not wanted");
    assert!(model.join("vae/diffusion_pytorch_model.safetensors").exists(), "nor is there another");

    let error = setting.fetch_variant("bf16").unwrap_err();
    assert!(
        matches!(&error, Error::Hub(HubError::NoVariant { variant, available, .. })
            if variant == "bf16" && available == &["fp16"]),
        "{error}"
    );
    // Without a word, the variant that is there.
    setting.server.files(|files| files.remove(UNET));
    setting.server.requests();
    setting.fetch().unwrap();
    assert!(setting.sent().is_empty());
}

#[test]
fn parts_from_elsewhere_are_not_downloaded() {
    let setting = Setting::new();
    let own = fixture("tiny-sd1");
    let loading =
        LoadOptions::default().vae(own.join("vae")).text_encoder(own.join("text_encoder"));
    let model = Hub::new(setting.options()).fetch(&MODEL.parse().unwrap(), &loading).unwrap();
    let sent = setting.sent();
    assert!(
        sent.iter().any(|name| name == UNET) && !sent.iter().any(|name| name.starts_with("vae"))
    );
    assert!(!sent.iter().any(|name| name == "text_encoder/model.safetensors"));
    assert!(picture(&model, &loading) == picture(&own, &LoadOptions::default()));
}

#[test]
fn shards_come_with_their_index() {
    let setting = Setting::new();
    let shard = "unet/diffusion_pytorch_model-00001-of-00001.safetensors";
    let index = "unet/diffusion_pytorch_model.safetensors.index.json";
    setting.server.files(|files| {
        let content = files.remove(UNET).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&content).unwrap();
        let map: serde_json::Map<_, _> = tensors
            .names()
            .into_iter()
            .map(|name| (name.to_owned(), shard.trim_start_matches("unet/").into()))
            .collect();
        let text = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
        files.insert(index.to_owned(), text.into_bytes());
        files.insert(shard.to_owned(), content);
    });
    let model = setting.fetch().unwrap();
    let loading = LoadOptions::default();
    assert!(picture(&model, &loading) == picture(&fixture("tiny-sd1"), &loading));
    fs::remove_file(model.join(shard)).unwrap();
    let error = setting.fetch_by(setting.options().offline(true), MODEL).unwrap_err();
    assert!(matches!(error, Error::Hub(HubError::NotCached { missing, .. }) if missing == shard));
}

#[test]
fn a_whole_model_in_a_file_brings_its_vocabulary() {
    let setting = Setting::of(&fixture("tiny-sd1/tokenizer"));
    let file = "weights/tiny.ckpt";
    setting.server.files(|files| {
        let vocabulary: Vec<_> = std::mem::take(files).into_iter().collect();
        files.extend(
            vocabulary.into_iter().map(|(name, text)| (format!("weights/tokenizer/{name}"), text)),
        );
        files.insert(file.to_owned(), fs::read(fixture("single/tiny-sd1.ckpt")).unwrap());
        files.insert("weights/other.ckpt".to_owned(), b"not read".to_vec());
    });
    let path = setting.fetch_by(setting.options(), &format!("{MODEL}/{file}")).unwrap();
    let understood = SingleFileOptions::default()
        .config("unet", "norm_num_groups", 4.into())
        .config("unet", "attention_head_dim", 2.into())
        .config("unet", "sample_size", 8.into())
        .config("vae", "norm_num_groups", 2.into())
        .config("text_encoder", "num_attention_heads", 2.into());
    let loading = LoadOptions::default().single_file(understood);
    let expected = loading.clone().tokenizer(fixture("tiny-sd1/tokenizer"));
    assert!(picture(&path, &loading) == picture(&fixture("single/tiny-sd1.ckpt"), &expected));
    assert!(
        setting.sent().iter().all(|name| name == file || name.starts_with("weights/tokenizer/"))
    );
    // A vocabulary that is given is not downloaded.
    let other = Setting { server: setting.server, cache: TempDir::new().unwrap() };
    let model = format!("{MODEL}/{file}").parse().unwrap();
    Hub::new(other.options()).fetch(&model, &expected).unwrap();
    assert_eq!(other.sent(), [file]);
}
