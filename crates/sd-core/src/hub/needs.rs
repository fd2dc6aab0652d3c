//! Which files of a repository a pipeline reads.

use std::path::PathBuf;

use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{FoundWeights, WeightFiles, choose_weights, shard_files, weight_variants};

use super::{HubError, repository::Repository};
use crate::{
    Error, LoadOptions, ModelError,
    loading::{TEXT_ENCODERS, TOKENIZERS, UNETS, VAES, VOCABULARIES},
    model_index::ModelIndex,
};

const INDEX: &str = "model_index.json";
const CONFIG: &str = "config.json";

/// What a tokenizer reads beside its vocabulary.
const SETTINGS: [&str; 3] =
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// What the options of loading want of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs<'a> {
    variant: Option<&'a str>,
    /// Whether the autoencoder comes from elsewhere.
    other_vae: bool,
    /// Whether the weights of the first text encoder do.
    other_text_encoder: bool,
    /// Whether a single file's vocabulary does.
    other_vocabulary: bool,
}

impl<'a> Needs<'a> {
    pub(super) fn of<B: DiffusionBackend>(options: &'a LoadOptions<B>) -> Self {
        Self {
            variant: options.variant.as_deref(),
            other_vae: options.vae.is_some(),
            other_text_encoder: options.text_encoder.is_some(),
            other_vocabulary: options.tokenizer.is_some(),
        }
    }

    /// Gets the whole model: the file, with a vocabulary if there is one beside it, or the directory.
    pub(super) fn get(
        self,
        repository: &Repository<'_>,
        file: Option<&str>,
    ) -> Result<PathBuf, Error> {
        match file {
            Some(file) => Ok(self.single_file(repository, file)?),
            None => self.directory(repository),
        }
    }

    fn single_file(self, repository: &Repository<'_>, file: &str) -> Result<PathBuf, HubError> {
        if !repository.has(file) {
            return Err(repository.missing(file));
        }
        let beside = file.rsplit_once('/').map(|(directory, _)| directory);
        let within =
            |name: &str| beside.map_or(name.to_owned(), |beside| format!("{beside}/{name}"));
        let places =
            [beside.unwrap_or_default().to_owned(), within("tokenizer"), within("tokenizer_2")];
        if !self.other_vocabulary {
            places.iter().try_for_each(|place| vocabulary(repository, place))?;
        }
        repository.get(file)
    }

    fn directory(self, repository: &Repository<'_>) -> Result<PathBuf, Error> {
        if !repository.has(INDEX) && !repository.is_cached_only() {
            let weights = repository.weights_in("");
            return Err(HubError::NoIndex { repository: repository.name(), weights }.into());
        }
        repository.get(INDEX)?;
        let directory = repository.directory();
        let index = ModelIndex::open(&directory)?;
        index.check_class()?;
        let mut components = index.needed();
        // There has to be one to replace.
        if self.other_text_encoder && !components.contains(&"text_encoder") {
            components.push("text_encoder");
        }
        components.retain(|component| !(self.other_vae && *component == "vae"));
        if let Some(component) = components.iter().find(|component| !index.has(component)) {
            return Err(ModelError::MissingComponent { path: directory, component }.into());
        }
        // What is small comes first: most mistakes show before gigabytes have come.
        let weights = self.weights(repository, &components)?;
        for component in components {
            small(repository, component)?;
            index.component(component, classes(component))?;
        }
        for (component, found) in weights {
            get_weights(repository, component, &found)?;
        }
        Ok(directory)
    }

    /// Chooses the weights of each component.
    fn weights(
        self,
        repository: &Repository<'_>,
        components: &[&'static str],
    ) -> Result<Vec<(&'static str, FoundWeights)>, Error> {
        let given = |component: &str| self.other_text_encoder && component == "text_encoder";
        let mut models = components.to_vec();
        models.retain(|component| is_model(component) && !given(component));
        let mut chosen = Vec::new();
        for component in &models {
            let (place, names) =
                (repository.directory().join(component), repository.names_in(component));
            match choose_weights(place, names, self.variant) {
                Ok(found) => chosen.push((*component, found)),
                Err(_) if repository.is_cached_only() => {
                    return Err(repository
                        .not_cached(&format!("the {component}'s weights"))
                        .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Some components may lack it, as in diffusers; but not all.
        let has = |variant: &str| {
            chosen.iter().any(|(_, found)| found.variant.as_deref() == Some(variant))
        };
        match self.variant {
            Some(variant) if !has(variant) => Err(no_variant(repository, variant, &models).into()),
            _ => Ok(chosen),
        }
    }
}

fn no_variant(repository: &Repository<'_>, variant: &str, models: &[&str]) -> HubError {
    if repository.is_cached_only() {
        return repository.not_cached(&format!("variant {variant}"));
    }
    let names = models.iter().flat_map(|component| repository.names_in(component));
    let available = weight_variants(names).into_iter().map(Into::into).collect();
    HubError::NoVariant { repository: repository.name(), variant: variant.to_owned(), available }
}

/// Gets what of a component is no weights.
fn small(repository: &Repository<'_>, component: &str) -> Result<(), HubError> {
    if component.starts_with("tokenizer") {
        let sets = &VOCABULARIES;
        let lacking = |set: &&[&str]| {
            set.iter().map(|name| format!("{component}/{name}")).find(|name| !repository.has(name))
        };
        // Of several ways to write a vocabulary, one has to be whole.
        return match (sets.iter().any(|set| lacking(set).is_none()), lacking(&sets[0])) {
            (false, Some(name)) => Err(repository.missing(&name)),
            _ => vocabulary(repository, component),
        };
    }
    let config = if is_model(component) { CONFIG } else { "scheduler_config.json" };
    repository.get(&format!("{component}/{config}")).map(drop)
}

/// Gets those files of a tokenizer that are in a directory.
fn vocabulary(repository: &Repository<'_>, directory: &str) -> Result<(), HubError> {
    let known = |name: &&str| {
        SETTINGS.contains(name) || VOCABULARIES.iter().any(|files| files.contains(name))
    };
    repository.names_in(directory).filter(known).try_for_each(|name| {
        let path =
            if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        repository.get(&path).map(drop)
    })
}

/// Gets a file of weights, or all that an index lists.
fn get_weights(
    repository: &Repository<'_>,
    component: &str,
    found: &FoundWeights,
) -> Result<(), Error> {
    let get = |name: &str| repository.get(&format!("{component}/{name}"));
    let path = found.files.path();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path = get(&name)?;
    if let WeightFiles::Sharded(_) = found.files {
        for shard in shard_files(path)? {
            get(&shard)?;
        }
    }
    Ok(())
}

/// Whether a component has weights.
fn is_model(component: &str) -> bool {
    !component.starts_with("tokenizer") && !component.ends_with("scheduler")
}

/// Classes that are run here; no names for all.
fn classes(component: &str) -> &'static [&'static str] {
    match component {
        "unet" => &UNETS,
        "vae" => &VAES,
        "text_encoder" | "text_encoder_2" => &TEXT_ENCODERS,
        "tokenizer" | "tokenizer_2" => &TOKENIZERS,
        _ => &[],
    }
}
