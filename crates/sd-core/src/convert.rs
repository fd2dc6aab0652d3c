//! Models between diffusers' directories and single files, value for value.

mod directory;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sd_nn::checkpoint::{
    CheckpointError, Component, FileDtype, FileKind, ModelFamily, Prediction, SaveOptions,
    SingleFile, SingleFileOptions, SingleFileView, TensorToSave, WeightFile, WeightSource, open,
    save_new_file, save_weights, tensors_of,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use thiserror::Error;

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
    /// What the output has no place for: tensors of a single file, components of a directory.
    pub unused: Vec<String>,
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
    /// The input has no U-Net of Stable Diffusion.
    #[error("{} has no U-Net to make a model of", .0.display())]
    NoFamily(PathBuf),
    /// The scheduler of a directory says that the U-Net predicts what single files cannot tell.
    #[error(
        "{} has `prediction_type` {found}, expected `epsilon` or `v_prediction`, which are all that single files tell", path.display()
    )]
    Prediction {
        /// The scheduler's configuration.
        path: PathBuf,
        /// The value there.
        found: Value,
    },
    /// A file of the vocabulary that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
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
    // A link that leads nowhere is something, too.
    match fs::symlink_metadata(output) {
        Ok(_) => return Err(ConvertError::Exists(output.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConvertError::Io { path: output.into(), source }),
    }
    let to_file = output.extension().is_some_and(|end| end == "safetensors");
    match (input.is_dir(), to_file) {
        (true, true) => directory::to_file(input, output, options),
        (true, false) => Err(ConvertError::DirectoryToDirectory(input.into())),
        (false, true) => file_to_file(input, output, options),
        (false, false) => file_to_directory(input, output, options),
    }
}

fn file_to_file(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let single = SingleFile::open(input, &options.single_file)?;
    let family = family(input, &single)?;
    let file = open(input)?;
    let metadata = metadata(&file, single.prediction());
    let mut converted = converted(output, family, &single);
    if options.single_file.ema && single.has_ema() {
        // The averaged weights under the names of the others.
        let components = single.components().iter().map(|component| {
            (component.name().to_owned(), Box::new(component.clone()) as Box<dyn WeightSource>)
        });
        let view = SingleFileView::new(family, components.collect())?;
        let mut tensors = tensors_of(&view)?;
        if single.zero_snr() {
            tensors.push(zero_snr());
        }
        save_new_file(output, tensors, &metadata)?;
    } else {
        let mut tensors = tensors_of(&file)?;
        // It would say the opposite of what was asked for.
        tensors.retain(|tensor| {
            tensor.name != "v_pred" || single.prediction() == Prediction::Velocity
        });
        save_new_file(output, tensors, &metadata)?;
        converted.unused.clear();
    }
    Ok(converted)
}

/// What stands in the header of a file: what stood there, if it was of the same format, and what is known of it.
fn metadata(file: &WeightFile, prediction: Prediction) -> BTreeMap<String, String> {
    let mut metadata = match file.kind() {
        FileKind::Safetensors => file.metadata().clone(),
        _ => BTreeMap::new(),
    };
    note(&mut metadata, prediction);
    metadata
}

/// Notes down what names and shapes do not tell.
fn note(metadata: &mut BTreeMap<String, String>, prediction: Prediction) {
    let name = if prediction == Prediction::Velocity { "v" } else { "epsilon" };
    metadata.insert("format".into(), "pt".into());
    metadata.insert("modelspec.prediction_type".into(), name.into());
}

/// The mark of models whose schedule ends without any signal: a tensor without elements, by its name alone.
fn zero_snr<'a>() -> TensorToSave<'a> {
    TensorToSave {
        name: "ztsnr".into(),
        dtype: FileDtype::F32,
        shape: vec![0],
        bytes: Box::new(|| Ok(Cow::Owned(Vec::new()))),
    }
}

/// The family of a single file that has a U-Net.
fn family(input: &Path, single: &SingleFile) -> Result<ModelFamily, ConvertError> {
    let unet = single.component("unet");
    unet.and(single.family()).ok_or_else(|| ConvertError::NoFamily(input.into()))
}

/// What is made of a single file, without what will be missing.
fn converted(output: &Path, family: ModelFamily, single: &SingleFile) -> Converted {
    let components = single.components().iter();
    Converted {
        path: output.into(),
        family,
        components: components.map(|component| component.name().to_owned()).collect(),
        missing: Vec::new(),
        unused: single.unused().to_vec(),
    }
}

fn file_to_directory(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let single = SingleFile::open(input, &options.single_file)?;
    let family = family(input, &single)?;
    let (Some(index), Some(scheduler)) = (single.model_index(), single.scheduler_config()) else {
        return Err(ConvertError::NoFamily(input.into()));
    };
    // Before gigabytes are written.
    for path in
        options.tokenizer.iter().flat_map(|directory| VOCABULARY.map(|name| directory.join(name)))
    {
        fs::File::open(&path).map_err(|source| ConvertError::Vocabulary { path, source })?;
    }
    // Beside its place, so that renaming it is one step.
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let failed = |source| ConvertError::Io { path: output.into(), source };
    let scratch =
        tempfile::Builder::new().prefix(".converting-").tempdir_in(parent).map_err(failed)?;
    let mut converted = converted(output, family, &single);
    for component in single.components() {
        write_component(scratch.path(), component)?;
        if component.name().starts_with("text_encoder")
            && !write_tokenizer(scratch.path(), component, options.tokenizer.as_deref())?
        {
            converted.missing.push(component.name().replace("text_encoder", "tokenizer"));
        }
    }
    for (wanted, name) in
        [("vae", "vae"), ("text_encoder", "text_encoder"), ("text_encoder", "tokenizer")]
    {
        if !single.components().iter().any(|component| component.name().starts_with(wanted)) {
            converted.missing.push(name.into());
        }
    }
    // What no single file holds.
    if family == ModelFamily::Sd2Depth {
        converted.missing.push("depth_estimator".into());
    }
    write_json(&scratch.path().join("scheduler/scheduler_config.json"), &scheduler)?;
    if let Some(scheduler) = single.low_res_scheduler_config() {
        let path = scratch.path().join("low_res_scheduler/scheduler_config.json");
        write_json(&path, &scheduler)?;
    }
    write_json(&scratch.path().join("model_index.json"), &index)?;
    put(scratch, output)?;
    Ok(converted)
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
        let to = directory.join(name);
        let bytes =
            fs::read(&from).map_err(|source| ConvertError::Vocabulary { path: from, source })?;
        fs::write(&to, bytes).map_err(|source| ConvertError::Io { path: to, source })?;
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
