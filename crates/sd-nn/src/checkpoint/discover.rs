//! Finding the weights of a component in its directory, by the file names of diffusers and transformers.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    CheckpointError, ShardedFiles, WeightSource,
    file_names::{self, TRANSFORMERS_STEM, entry_names, is_shard, torch_entry_names},
    open,
};

/// File names without their ends: of diffusers' models, and of transformers' models.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", TRANSFORMERS_STEM];

/// Variants in the order of preference when there are no plain weights and none was asked for.
const PREFERRED_VARIANTS: [&str; 2] = ["fp16", "bf16"];

/// Ends of files that may hold weights.
const WEIGHT_ENDS: [&str; 6] = [".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".gguf"];

/// The weights of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWeights {
    /// Where they are.
    pub files: WeightFiles,
    /// The variant in their names, such as `fp16`.
    pub variant: Option<String>,
}

/// One file, or an index of several.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFiles {
    /// A file: `.safetensors`, or `.bin` from `torch.save`.
    Single(PathBuf),
    /// A `.index.json` file beside its shards.
    Sharded(PathBuf),
}

impl WeightFiles {
    /// The file, or the index.
    pub fn path(&self) -> &Path {
        match self {
            Self::Single(path) | Self::Sharded(path) => path,
        }
    }

    /// Maps and checks the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(&self) -> Result<Box<dyn WeightSource>, CheckpointError> {
        Ok(match self {
            Self::Single(path) => Box::new(open(path)?),
            Self::Sharded(path) => Box::new(ShardedFiles::open(path)?),
        })
    }
}

/// Finds and opens the weights in a component's directory; see [`find_weights`].
///
/// # Errors
/// [`CheckpointError`]: none there, or what is wrong with them.
pub fn open_weights(
    directory: impl AsRef<Path>,
    variant: Option<&str>,
) -> Result<Box<dyn WeightSource>, CheckpointError> {
    find_weights(directory, variant)?.files.open()
}

/// Finds the weights in a component's directory.
///
/// `.safetensors` files are preferred to `.bin` files of the same variant, which are taken when there are no others.
///
/// With a `variant`, that variant, or else the plain weights, as diffusers mixes them. Without, the plain weights, or else
/// the variant `fp16`, then `bf16`, then the only one there is.
///
/// # Errors
/// [`CheckpointError::NoWeights`], [`CheckpointError::OtherNames`], [`CheckpointError::AmbiguousVariant`], or what the
/// operating system says of the directory.
pub fn find_weights(
    directory: impl AsRef<Path>,
    variant: Option<&str>,
) -> Result<FoundWeights, CheckpointError> {
    Listing::read(directory.as_ref())?.choose(variant)
}

/// Chooses among file names as [`find_weights`] does in a directory, which need not be there yet: it stands before the names
/// of what is found, and in errors.
///
/// ```
/// use sd_nn::checkpoint::choose_weights;
///
/// let names = ["config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"];
/// let found = choose_weights("unet", names, Some("fp16"))?;
/// assert!(found.files.path().ends_with("diffusion_pytorch_model.fp16.safetensors"));
/// # Ok::<(), sd_nn::checkpoint::CheckpointError>(())
/// ```
///
/// # Errors
/// As there.
pub fn choose_weights<N: Into<String>>(
    directory: impl AsRef<Path>,
    names: impl IntoIterator<Item = N>,
    variant: Option<&str>,
) -> Result<FoundWeights, CheckpointError> {
    let names = names.into_iter().map(Into::into).collect();
    Listing { directory: directory.as_ref(), names }.choose(variant)
}

/// The variants among the names of a component's files, in alphabetical order.
pub fn weight_variants<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    names.into_iter().filter_map(variant_of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a file may hold weights, by the end of its name.
pub fn has_weights_name(name: &str) -> bool {
    WEIGHT_ENDS.iter().any(|end| name.ends_with(end))
}

/// The names of one directory's files.
struct Listing<'a> {
    directory: &'a Path,
    names: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    fn read(directory: &'a Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::io("open", directory, source);
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Links are followed: caches of downloads are made of them.
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().is_file()
            {
                names.insert(name);
            }
        }
        Ok(Self { directory, names })
    }

    fn choose(&self, variant: Option<&str>) -> Result<FoundWeights, CheckpointError> {
        if let Some(variant) = variant {
            if let Some(found) = self.find(Some(variant)) {
                return Ok(found);
            }
            tracing::debug!(directory = %self.directory.display(), variant, "no such variant, looking for plain weights");
        }
        if let Some(found) = self.find(None) {
            return Ok(found);
        }
        match variant {
            Some(_) => Err(self.nothing(variant)),
            None => self.find_any_variant(),
        }
    }

    fn find(&self, variant: Option<&str>) -> Option<FoundWeights> {
        let name = candidates(variant).into_iter().find(|name| self.names.contains(name))?;
        let path = self.directory.join(&name);
        let files = if name.ends_with(".json") {
            WeightFiles::Sharded(path)
        } else {
            WeightFiles::Single(path)
        };
        Some(FoundWeights { files, variant: variant.map(Into::into) })
    }

    fn find_any_variant(&self) -> Result<FoundWeights, CheckpointError> {
        let variants = weight_variants(self.names.iter().map(String::as_str));
        let preferred = PREFERRED_VARIANTS.into_iter().find(|variant| variants.contains(variant));
        let only = if variants.len() == 1 { variants.first().copied() } else { None };
        match preferred.or(only) {
            Some(variant) => self.find(Some(variant)).ok_or_else(|| self.nothing(None)),
            None if variants.is_empty() => Err(self.nothing(None)),
            None => Err(CheckpointError::AmbiguousVariant {
                directory: self.directory.into(),
                variants: variants.into_iter().map(Into::into).collect(),
            }),
        }
    }

    /// Why there is nothing to load.
    fn nothing(&self, variant: Option<&str>) -> CheckpointError {
        let directory = self.directory.into();
        let mut looked_for = variant.map(|variant| candidates(Some(variant))).unwrap_or_default();
        looked_for.extend(candidates(None));
        let is_weights = |name: &&String| has_weights_name(name) && !is_shard_name(name);
        let files: Vec<String> = self.names.iter().filter(is_weights).cloned().collect();
        if !files.is_empty() {
            return CheckpointError::OtherNames { directory, files, looked_for };
        }
        CheckpointError::NoWeights { directory, looked_for }
    }
}

/// File names that hold weights, best first: safetensors before what `torch.save` writes.
fn candidates(variant: Option<&str>) -> Vec<String> {
    let safetensors = STEMS.iter().flat_map(|stem| entry_names(stem, variant));
    safetensors.chain(STEMS.iter().flat_map(|stem| torch_entry_names(stem, variant))).collect()
}

/// The variant in the name of a single file or of an index, if it has one.
fn variant_of(name: &str) -> Option<&str> {
    STEMS.iter().find_map(|stem| file_names::variant_of(name, stem))
}

/// Whether a file is a part of a sharded checkpoint.
fn is_shard_name(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, _)| is_shard(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found among these file names: the file chosen, or the error's text.
    fn find(names: &[&str], variant: Option<&str>) -> Result<String, CheckpointError> {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let found = find_weights(directory.path(), variant)?;
        Ok(found.files.path().file_name().unwrap().to_str().unwrap().to_owned())
    }

    const PLAIN: &str = "diffusion_pytorch_model.safetensors";
    const HALF: &str = "diffusion_pytorch_model.fp16.safetensors";

    #[test]
    fn plain_weights_are_preferred_and_variants_found_on_demand() {
        assert_eq!(find(&[PLAIN, HALF, "config.json"], None).unwrap(), PLAIN);
        assert_eq!(find(&[PLAIN, HALF], Some("fp16")).unwrap(), HALF);
        assert_eq!(find(&[PLAIN], Some("fp16")).unwrap(), PLAIN);
        assert_eq!(find(&["model.safetensors"], None).unwrap(), "model.safetensors");
    }

    #[test]
    fn a_variant_is_used_when_it_is_all_there_is() {
        assert_eq!(find(&[HALF], None).unwrap(), HALF);
        assert_eq!(
            find(&["model.bf16.safetensors", "model.fp16.safetensors"], None).unwrap(),
            "model.fp16.safetensors"
        );
        assert_eq!(
            find(&["model.bf16.safetensors", "model.x.safetensors"], None).unwrap(),
            "model.bf16.safetensors"
        );
        assert_eq!(
            find(&["model.non_ema.safetensors"], None).unwrap(),
            "model.non_ema.safetensors"
        );
        let error = find(&["model.a.safetensors", "model.b.safetensors"], None).unwrap_err();
        assert!(
            matches!(error, CheckpointError::AmbiguousVariant { variants, .. } if variants == ["a", "b"])
        );
    }

    #[test]
    fn indices_are_found_under_new_and_old_names() {
        let shard = "model.fp16-00001-of-00002.safetensors";
        for index in [
            "model.safetensors.index.fp16.json",
            "model.safetensors.fp16.index.json",
            "model.fp16.safetensors.index.json",
        ] {
            assert_eq!(find(&[index, shard], None).unwrap(), index);
            assert_eq!(find(&[index, shard, "model.safetensors"], Some("fp16")).unwrap(), index);
        }
        let index = "diffusion_pytorch_model.safetensors.index.json";
        assert_eq!(
            find(&[index, "diffusion_pytorch_model-00001-of-00002.safetensors"], None).unwrap(),
            index
        );
    }

    #[test]
    fn shards_without_an_index_are_no_variant() {
        let error = find(&["model.fp16-00001-of-00002.safetensors"], None).unwrap_err();
        assert!(matches!(error, CheckpointError::NoWeights { .. }), "{error}");
    }

    #[test]
    fn files_of_torch_are_taken_when_there_are_no_others() {
        let bin = "diffusion_pytorch_model.bin";
        assert_eq!(find(&[bin], None).unwrap(), bin);
        assert_eq!(find(&[bin, PLAIN], None).unwrap(), PLAIN);
        assert_eq!(find(&["pytorch_model.bin"], Some("fp16")).unwrap(), "pytorch_model.bin");
        let half = "diffusion_pytorch_model.fp16.bin";
        assert_eq!(find(&[half], None).unwrap(), half);
        assert_eq!(find(&[half, PLAIN], Some("fp16")).unwrap(), half);
        assert_eq!(find(&[half, bin, HALF], None).unwrap(), bin);
        let index = "pytorch_model.bin.index.json";
        let shard = "pytorch_model-00001-of-00002.bin";
        assert_eq!(find(&[index, shard], None).unwrap(), index);
        let index = "pytorch_model.bin.index.fp16.json";
        assert_eq!(find(&[index, "pytorch_model.fp16-00001-of-00002.bin"], None).unwrap(), index);
    }

    #[test]
    fn weights_under_other_names_are_told() {
        let error = find(&["sd-v1-5.ckpt", "config.json"], None).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::OtherNames { files, .. } if *files == ["sd-v1-5.ckpt"])
        );
        let error = error.to_string();
        assert!(error.contains("only under other names (sd-v1-5.ckpt)"), "{error}");
    }

    #[test]
    fn names_are_chosen_among_as_files_are() {
        let names = [PLAIN, HALF, "model.x.bin", "config.json"];
        for variant in [None, Some("fp16"), Some("x"), Some("y")] {
            let chosen = choose_weights("unet", names, variant).unwrap();
            assert_eq!(
                *chosen.files.path(),
                Path::new("unet").join(find(&names, variant).unwrap())
            );
        }
        assert_eq!(weight_variants(names), ["fp16"], "`x` is of torch's stem, which this is not");
        let error = choose_weights("unet", ["config.json"], None).unwrap_err().to_string();
        assert!(error.starts_with("unet holds no weights"), "{error}");
    }

    #[test]
    fn an_empty_directory_says_what_was_looked_for() {
        let error = find(&[], Some("fp16")).unwrap_err().to_string();
        for name in [PLAIN, HALF, "model.safetensors", "model.safetensors.index.fp16.json"] {
            assert!(error.contains(name), "{error}");
        }
        assert!(matches!(
            find_weights("no/such/directory", None),
            Err(CheckpointError::NotFound { .. })
        ));
    }
}
