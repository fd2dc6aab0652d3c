//! Names of models.

use std::{fmt, str::FromStr};

use sd_nn::checkpoint::has_weights_name;

use super::{
    HubError,
    names::{is_plain, is_plain_path},
};

/// The branch that is taken when no revision is given.
const MAIN: &str = "main";

/// Says what a model's name looks like.
const EXPECTED: &str = "expected OWNER/MODEL, or OWNER/MODEL/FILE for a whole model in one file (.safetensors, .ckpt, .gguf), each with @REVISION after it if it is not `main`";

/// A model of the Hub: a repository, a revision of it (a branch, a tag or a commit), and a file, if the whole model is in
/// one.
///
/// ```
/// use sd_core::hub::HubModel;
///
/// let model: HubModel = "stabilityai/stable-diffusion-xl-base-1.0".parse()?;
/// assert_eq!((model.repository(), model.revision()), ("stabilityai/stable-diffusion-xl-base-1.0", "main"));
/// let file: HubModel = "owner/model/weights/v1-5.safetensors@refs/pr/4".parse()?;
/// assert_eq!((file.file(), file.revision()), (Some("weights/v1-5.safetensors"), "refs/pr/4"));
/// # Ok::<(), sd_core::hub::HubError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    repository: String,
    revision: String,
    file: Option<String>,
}

impl HubModel {
    /// `OWNER/MODEL`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The revision: a branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The file that the whole model is in.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl FromStr for HubModel {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Name { text: text.to_owned(), expected: EXPECTED };
        let (path, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let mut parts = path.splitn(3, '/');
        let (Some(owner), Some(name), file) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let fits = is_repository_part(owner)
            && is_repository_part(name)
            && is_plain_path(revision)
            && file.is_none_or(|file| is_plain_path(file) && has_weights_name(file));
        match fits {
            true => Ok(Self {
                repository: format!("{owner}/{name}"),
                revision: revision.to_owned(),
                file: file.map(Into::into),
            }),
            false => Err(wrong()),
        }
    }
}

/// The Hub's own rule; `--` stands between the parts in the cache.
fn is_repository_part(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
    is_plain(part)
        && part.len() <= 96
        && part.bytes().all(allowed)
        && !ends
        && !part.contains("--")
        && !part.contains("..")
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["a/b", "a-1/b_2.x@v1", "a/b/c.safetensors", "a/b/c/d.ckpt@refs/pr/1"] {
            assert_eq!(text.parse::<HubModel>().unwrap().to_string(), text);
        }
        assert_eq!("a/b@main".parse::<HubModel>().unwrap().to_string(), "a/b");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "a",
            "a/",
            "/b",
            "a/b/",
            "../b",
            "a/..",
            "a--b/c",
            "-a/b",
            "a/b.",
            "a b/c",
            "~/b",
            "a/b/c",
            "a/b/../c.ckpt",
            "a/b/c.png",
            "a/b@",
            "a/b@../x",
            "a/b@x/../y",
            "a\\b/c",
        ] {
            let error = text.parse::<HubModel>().unwrap_err().to_string();
            assert!(error.contains("expected OWNER/MODEL"), "{text}: {error}");
        }
    }
}
