//! The environment variables of Hugging Face's tools, which are read here and nowhere else.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{HubError, HubOptions};

impl HubOptions {
    /// What the environment says, as Hugging Face's own tools read it:
    ///
    /// - `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub` (`XDG_CACHE_HOME` for `~/.cache`);
    /// - `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names, else `token` in `HF_HOME`, where `hf auth login` puts it;
    ///   `HF_HUB_DISABLE_IMPLICIT_TOKEN` leaves it out;
    /// - `HF_ENDPOINT`, `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`, if that is not set), `HF_HUB_DOWNLOAD_TIMEOUT` in whole
    ///   seconds;
    /// - the proxy of the first that is set of `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY`, of HTTP or SOCKS, but for the hosts
    ///   of `NO_PROXY`.
    ///
    /// # Errors
    /// When nothing names a place for the cache.
    pub fn from_env() -> Result<Self, HubError> {
        let mut options = read(&|name| env::var_os(name), env::home_dir())?;
        options.proxy = ureq::Proxy::try_from_env();
        Ok(options)
    }
}

const TIMEOUT: &str = "HF_HUB_DOWNLOAD_TIMEOUT";

/// What variables say; empty ones say nothing.
fn read(
    variable: &dyn Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Result<HubOptions, HubError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let text = |name: &str| set(name)?.into_string().ok();
    let path = |name: &str| Some(expanded(set(name)?.into(), home.as_deref()));
    let is_on = |name: &str| text(name).is_some_and(|value| is_true(&value));

    let caches = || path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
    let hugging_face = path("HF_HOME").or_else(|| Some(caches()?.join("huggingface")));
    let cache = path("HF_HUB_CACHE")
        .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(hugging_face.as_ref()?.join("hub")))
        .ok_or(HubError::NoHome)?;

    let mut options = HubOptions::new(cache);
    if let Some(endpoint) = text("HF_ENDPOINT") {
        options = options.endpoint(&endpoint);
    }
    if let Some(text) = text(TIMEOUT) {
        match text.trim().parse() {
            Ok(seconds) => options = options.timeout(Duration::from_secs(seconds)),
            Err(error) => tracing::warn!("{TIMEOUT} is `{text}`, and no whole seconds: {error}"),
        }
    }
    // The second has no say where the first has spoken.
    options.offline = text("HF_HUB_OFFLINE")
        .or_else(|| text("TRANSFORMERS_OFFLINE"))
        .is_some_and(|value| is_true(&value));
    if !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        let file = path("HF_TOKEN_PATH").or_else(|| Some(hugging_face?.join("token")));
        options.token = text("HF_TOKEN")
            .or_else(|| text("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| fs::read_to_string(file?).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
    }
    Ok(options)
}

/// A path in which `~` is the home directory, as Hugging Face's tools take it.
fn expanded(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> HubOptions {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        read(&variable, Some("/home/ada".into())).unwrap()
    }

    #[test]
    fn places_are_those_of_hugging_face() {
        let cache = |variables: &[(&str, &str)]| of(variables).cache;
        assert_eq!(cache(&[]), Path::new("/home/ada/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        let home = [("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x")];
        assert_eq!(cache(&home), Path::new("/home/ada/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "")]), Path::new("/hf/hub"));
        assert!(matches!(read(&|_| None, None), Err(HubError::NoHome)));
    }

    #[test]
    fn switches_and_addresses_are_read() {
        let plain = of(&[]);
        assert_eq!(
            (plain.endpoint.as_str(), plain.offline),
            (super::super::options::ENDPOINT, false)
        );
        assert!(
            of(&[("HF_HUB_OFFLINE", "1")]).offline
                && of(&[("TRANSFORMERS_OFFLINE", "yes")]).offline
        );
        assert!(!of(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert!(!of(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(of(&[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        let other = of(&[("HF_ENDPOINT", "http://a.b/"), ("HF_HUB_DOWNLOAD_TIMEOUT", "3")]);
        assert_eq!(
            (other.endpoint.as_str(), other.timeout),
            ("http://a.b", Duration::from_secs(3))
        );
    }

    #[test]
    fn timeouts_are_such_as_can_be_waited_for() {
        let timeout = |text: &str| of(&[(TIMEOUT, text)]).timeout.as_secs();
        assert_eq!((timeout("0"), timeout("18446744073709551615")), (1, 24 * 60 * 60));
        assert_eq!((timeout("soon"), timeout("-1"), timeout(" 7 ")), (10, 10, 7));
    }

    #[test]
    fn tokens_are_found_and_not_shown() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("token"), "hf_file\n").unwrap();
        let home = ("HF_HOME", scratch.path().to_str().unwrap());
        assert_eq!(of(&[home]).token.as_deref(), Some("hf_file"));
        assert_eq!(of(&[home, ("HF_TOKEN", "hf_variable")]).token.as_deref(), Some("hf_variable"));
        assert_eq!(of(&[home, ("HF_TOKEN_PATH", "/no/such/file")]).token, None);
        assert_eq!(of(&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
        assert!(!format!("{:?}", of(&[home])).contains("hf_file"));
    }
}
