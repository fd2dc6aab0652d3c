//! Models between diffusers' directories and single files, value for value.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sd_nn::checkpoint::{
    CheckpointError, Component, ModelFamily, Prediction, SaveOptions, SingleFile,
    SingleFileOptions, SingleFileView, WeightSource, find_weights, open, save_file, save_weights,
    tensors_of,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use thiserror::Error;

use crate::model_index::{Entry, ModelIndex};

/// The components whose weights a single file holds.
const COMPONENTS: [&str; 4] = ["unet", "vae", "text_encoder", "text_encoder_2"];

/// Files of a tokenizer's vocabulary, which single files do not have.
const VOCABULARY: [&str; 2] = ["vocab.json", "merges.txt"];

/// How a model is converted.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// How the single file is understood.
    pub single_file: SingleFileOptions,
    /// A directory with `vocab.json` and `merges.txt` of CLIP, for directories made of single files.
    pub tokenizer: Option<PathBuf>,
    /// Variant of the weights of a directory, such as `fp16`.
    pub variant: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The directory or file.
    pub path: PathBuf,
    /// Its family.
    pub family: ModelFamily,
    /// The components in it.
    pub components: Vec<String>,
    /// What is still needed to make pictures.
    pub missing: Vec<String>,
}

/// Why a model could not be converted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Reading or writing weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory is no model.
    #[error(transparent)]
    Model(#[from] Box<crate::Error>),
    /// Something stands where the result should.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A directory was to become a directory.
    #[error("{} is a directory, so the output has to be a .safetensors file", .0.display())]
    DirectoryToDirectory(PathBuf),
    /// The single file is of no family that directories are made of.
    #[error("{} has no U-Net to make a model of", .0.display())]
    NoFamily(PathBuf),
    /// The operating system refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
}

/// Writes a model in the other layout: a single file of any format becomes a directory in diffusers' layout, or a
/// `.safetensors` file when `output` ends so; a directory becomes a `.safetensors` file.
///
/// Tensors keep their values and types; quantised ones become f32. The result appears whole or not at all, and nothing is
/// replaced that is there.
///
/// # Errors
/// [`ConvertError`].
pub fn convert(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let (input, output) = (input.as_ref(), output.as_ref());
    if output.exists() {
        return Err(ConvertError::Exists(output.into()));
    }
    let to_file = output.extension().is_some_and(|end| end == "safetensors");
    match (input.is_dir(), to_file) {
        (true, true) => directory_to_file(input, output, options),
        (true, false) => Err(ConvertError::DirectoryToDirectory(input.into())),
        (false, true) => file_to_file(input, output, options),
        (false, false) => file_to_directory(input, output, options),
    }
}

fn directory_to_file(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let index = ModelIndex::open(input).map_err(Box::new)?;
    let entries = index.components();
    let has =
        |name: &str| entries.iter().any(|(found, entry)| *found == name && *entry != Entry::Absent);
    let mut components: Vec<(String, Box<dyn WeightSource>)> = Vec::new();
    for name in COMPONENTS.into_iter().filter(|name| has(name)) {
        let found = find_weights(input.join(name), options.variant.as_deref())?;
        components.push((name.into(), found.files.open()?));
    }
    let family = options.single_file.family.unwrap_or_else(|| family_of(input, &components));
    let names: Vec<String> = components.iter().map(|(name, _)| name.clone()).collect();
    let view = SingleFileView::new(family, components)?;
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let scheduler = read(&input.join("scheduler/scheduler_config.json"));
    if let Some(prediction) = scheduler["prediction_type"].as_str() {
        // Names and shapes do not tell it.
        let name = if prediction == Prediction::Velocity.name() { "v" } else { "epsilon" };
        metadata.insert("modelspec.prediction_type".into(), name.into());
    }
    save_file(output, tensors_of(&view)?, &metadata)?;
    Ok(Converted { path: output.into(), family, components: names, missing: Vec::new() })
}

/// The family of a model in diffusers' layout, from its configurations.
fn family_of(input: &Path, components: &[(String, Box<dyn WeightSource>)]) -> ModelFamily {
    let unet = read(&input.join("unet/config.json"));
    let text = read(&input.join("text_encoder/config.json"));
    let channels = unet["in_channels"].as_u64().unwrap_or(4);
    let has = |name: &str| components.iter().any(|(found, _)| found == name);
    if unet["addition_embed_type"] == "text_time" {
        return match (has("text_encoder") && has("text_encoder_2"), channels) {
            (false, _) => ModelFamily::XlRefiner,
            (true, 9) => ModelFamily::XlInpainting,
            _ => ModelFamily::XlBase,
        };
    }
    let is_sd2 = text["hidden_act"] == "gelu" || unet["cross_attention_dim"] == 1024;
    match (is_sd2, channels) {
        (true, 7) => ModelFamily::Sd2Upscaler,
        (true, 5) => ModelFamily::Sd2Depth,
        (true, 9) => ModelFamily::Sd2Inpainting,
        (true, _) => ModelFamily::Sd2,
        (false, 9) => ModelFamily::Sd1Inpainting,
        (false, 8) => ModelFamily::Sd1InstructPix2Pix,
        (false, _) => ModelFamily::Sd1,
    }
}

/// A JSON file, or null when there is none that can be read: what is asked of it is advice.
fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn file_to_file(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let single = SingleFile::open(input, &options.single_file)?;
    let family = single.family().ok_or_else(|| ConvertError::NoFamily(input.into()))?;
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let prediction = if single.prediction() == Prediction::Velocity { "v" } else { "epsilon" };
    metadata.insert("modelspec.prediction_type".into(), prediction.into());
    if options.single_file.ema && single.has_ema() {
        // The averaged weights under the names of the others.
        let components = single.components().iter().map(|component| {
            (component.name().to_owned(), Box::new(component.clone()) as Box<dyn WeightSource>)
        });
        let view = SingleFileView::new(family, components.collect())?;
        save_file(output, tensors_of(&view)?, &metadata)?;
    } else {
        save_file(output, tensors_of(&open(input)?)?, &metadata)?;
    }
    let components =
        single.components().iter().map(|component| component.name().to_owned()).collect();
    Ok(Converted { path: output.into(), family, components, missing: Vec::new() })
}

fn file_to_directory(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let single = SingleFile::open(input, &options.single_file)?;
    let (Some(index), Some(scheduler), Some(family)) =
        (single.model_index(), single.scheduler_config(), single.family())
    else {
        return Err(ConvertError::NoFamily(input.into()));
    };
    // Beside its place, so that renaming it is one step.
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let failed = |source| ConvertError::Io { path: output.into(), source };
    let scratch =
        tempfile::Builder::new().prefix(".converting-").tempdir_in(parent).map_err(failed)?;
    let mut missing = Vec::new();
    for component in single.components() {
        write_component(scratch.path(), component)?;
        if component.name().starts_with("text_encoder")
            && !write_tokenizer(scratch.path(), component, options.tokenizer.as_deref())?
        {
            missing.push(component.name().replace("text_encoder", "tokenizer"));
        }
    }
    for (wanted, name) in
        [("vae", "vae"), ("text_encoder", "text_encoder"), ("text_encoder", "tokenizer")]
    {
        if !single.components().iter().any(|component| component.name().starts_with(wanted)) {
            missing.push(name.into());
        }
    }
    write_json(&scratch.path().join("scheduler/scheduler_config.json"), &scheduler)?;
    if let Some(scheduler) = single.low_res_scheduler_config() {
        let path = scratch.path().join("low_res_scheduler/scheduler_config.json");
        write_json(&path, &scheduler)?;
    }
    write_json(&scratch.path().join("model_index.json"), &index)?;
    put(scratch, output)?;
    let components =
        single.components().iter().map(|component| component.name().to_owned()).collect();
    Ok(Converted { path: output.into(), family, components, missing })
}

fn write_component(model: &Path, component: &Component) -> Result<(), ConvertError> {
    let directory = model.join(component.name());
    write_json(&directory.join("config.json"), component.config())?;
    let is_text = component.name().starts_with("text_encoder");
    let stem = if is_text { "model" } else { "diffusion_pytorch_model" };
    save_weights(&directory, stem, tensors_of(component)?, &SaveOptions::default())?;
    Ok(())
}

/// Writes the tokenizer of a text encoder; false without a vocabulary to copy.
fn write_tokenizer(
    model: &Path,
    text_encoder: &Component,
    vocabulary: Option<&Path>,
) -> Result<bool, ConvertError> {
    let Some(vocabulary) = vocabulary else { return Ok(false) };
    let directory = model.join(text_encoder.name().replace("text_encoder", "tokenizer"));
    let (begin, end) = ("<|startoftext|>", "<|endoftext|>");
    // OpenCLIP fills up with token 0.
    let pad = if text_encoder.config()["hidden_act"] == "gelu" { "!" } else { end };
    let special =
        json!({ "bos_token": begin, "eos_token": end, "pad_token": pad, "unk_token": end });
    write_json(&directory.join("special_tokens_map.json"), &special)?;
    let mut config = special;
    config["tokenizer_class"] = json!("CLIPTokenizer");
    config["model_max_length"] = text_encoder.config()["max_position_embeddings"].clone();
    config["do_lower_case"] = json!(true);
    write_json(&directory.join("tokenizer_config.json"), &config)?;
    for name in VOCABULARY {
        let from = vocabulary.join(name);
        fs::copy(&from, directory.join(name))
            .map_err(|source| ConvertError::Io { path: from, source })?;
    }
    Ok(true)
}

fn write_json(path: &Path, value: &Value) -> Result<(), ConvertError> {
    let failed = |source| ConvertError::Io { path: path.into(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::write(path, format!("{value:#}\n")).map_err(failed)
}

/// Puts a finished directory into its place.
fn put(scratch: TempDir, output: &Path) -> Result<(), ConvertError> {
    let failed = |source| ConvertError::Io { path: output.into(), source };
    #[cfg(unix)]
    {
        // Temporary directories are for their owner only.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    fs::rename(scratch.path(), output).map_err(failed)?;
    // Nothing is left of it to be removed.
    drop(scratch.keep());
    Ok(())
}

#[cfg(all(test, feature = "ndarray"))]
mod tests;
