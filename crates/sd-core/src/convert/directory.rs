//! Directories in diffusers' layout, put into one file.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sd_nn::{
    checkpoint::{
        ModelFamily, Prediction, SingleFile, SingleFileOptions, SingleFileView, WeightSource,
        find_weights, save_new_file, tensors_of,
    },
    config::{self, ConfigFile},
};
use sd_schedulers::SchedulerConfig;
use serde_json::Value;

use super::{ConvertError, ConvertOptions, Converted, note, zero_snr};
use crate::{
    Error,
    model_index::{Entry, ModelIndex},
};

/// The components whose weights a single file holds.
const COMPONENTS: [&str; 4] = ["unet", "vae", "text_encoder", "text_encoder_2"];

/// How the classes of what has no weights end.
const WITHOUT_WEIGHTS: [&str; 5] =
    ["Scheduler", "Tokenizer", "TokenizerFast", "ImageProcessor", "FeatureExtractor"];

pub(super) fn to_file(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
) -> Result<Converted, ConvertError> {
    let index = ModelIndex::open(input).map_err(Box::new)?;
    let present: BTreeMap<&str, String> = index
        .components()
        .into_iter()
        .filter_map(|(name, entry)| match entry {
            Entry::Class(class) => Some((name, class)),
            Entry::Absent => None,
        })
        .collect();
    if !present.contains_key("unet") {
        return Err(ConvertError::NoFamily(input.into()));
    }
    let names: Vec<String> =
        COMPONENTS.into_iter().filter(|name| present.contains_key(name)).map(Into::into).collect();
    let family = match options.single_file.family {
        Some(family) => family,
        None => family_of(input, &names)?,
    };
    let schedule = match present.contains_key("scheduler") {
        true => schedule(input, options.single_file.prediction)?,
        false => Schedule::default(),
    };
    let mut components: Vec<(String, Box<dyn WeightSource>)> = Vec::new();
    for name in &names {
        let found = find_weights(input.join(name), options.variant.as_deref())?;
        components.push((name.clone(), found.files.open()?));
    }
    let view = Arc::new(SingleFileView::new(family, components)?);
    let mut metadata = BTreeMap::new();
    // Names and shapes do not tell it. Schedulers of diffusers take the noise where their configuration says nothing.
    let prediction = options.single_file.prediction.or(schedule.prediction);
    note(&mut metadata, prediction.unwrap_or(Prediction::Noise));
    let file =
        SingleFile::new(view.clone(), &metadata, &SingleFileOptions::default().family(family))?;
    for name in &names {
        let config = ConfigFile::open(input.join(name).join("config.json")).map_err(failed)?;
        file.note_config(name, config.values(), &mut metadata);
    }
    let mut tensors = tensors_of(view.as_ref())?;
    if schedule.zero_snr {
        tensors.push(zero_snr());
    }
    save_new_file(output, tensors, &metadata)?;
    let is_left_out = |(name, class): &(&str, String)| {
        !COMPONENTS.contains(name) && !WITHOUT_WEIGHTS.iter().any(|end| class.ends_with(end))
    };
    let unused = present.into_iter().filter(is_left_out).map(|(name, _)| name.into()).collect();
    Ok(Converted { path: output.into(), family, components: names, missing: Vec::new(), unused })
}

/// What a scheduler's configuration says of the model.
#[derive(Debug, Default)]
struct Schedule {
    prediction: Option<Prediction>,
    zero_snr: bool,
}

/// What the scheduler says; `asked` takes the place of its prediction, whatever that is.
fn schedule(input: &Path, asked: Option<Prediction>) -> Result<Schedule, ConvertError> {
    let path = input.join("scheduler/scheduler_config.json");
    let text = config::read_text(&path).map_err(failed)?;
    let config = SchedulerConfig::from_json(&text).map_err(|source| {
        Box::new(Error::SchedulerFile { path: path.clone(), source: Box::new(source) })
    })?;
    let told = config.get("prediction_type").filter(|told| !told.is_null());
    let prediction = match (asked, told.map(|told| (told, told.as_str()))) {
        (Some(asked), _) => Some(asked),
        (None, None) => None,
        (None, Some((_, Some("epsilon")))) => Some(Prediction::Noise),
        (None, Some((_, Some("v_prediction")))) => Some(Prediction::Velocity),
        (None, Some((found, _))) => {
            return Err(ConvertError::Prediction { path, found: found.clone() });
        }
    };
    let zero_snr = config.get("rescale_betas_zero_snr") == Some(&Value::Bool(true));
    Ok(Schedule { prediction, zero_snr })
}

/// The family of a model in diffusers' layout, from its configurations.
fn family_of(input: &Path, components: &[String]) -> Result<ModelFamily, ConvertError> {
    let config =
        |name: &str| ConfigFile::open(input.join(name).join("config.json")).map_err(failed);
    let has = |name: &str| components.iter().any(|found| found == name);
    let unet = config("unet")?;
    let channels = unet.get("in_channels").and_then(Value::as_u64).unwrap_or(4);
    if unet.get("addition_embed_type").is_some_and(|kind| kind == "text_time") {
        return Ok(match (has("text_encoder") && has("text_encoder_2"), channels) {
            (false, _) => ModelFamily::XlRefiner,
            (true, 9) => ModelFamily::XlInpainting,
            _ => ModelFamily::XlBase,
        });
    }
    let is_gelu = has("text_encoder")
        && config("text_encoder")?.get("hidden_act").is_some_and(|act| act == "gelu");
    let is_sd2 = is_gelu || unet.get("cross_attention_dim").is_some_and(|width| *width == 1024);
    Ok(match (is_sd2, channels) {
        (true, 7) => ModelFamily::Sd2Upscaler,
        (true, 5) => ModelFamily::Sd2Depth,
        (true, 9) => ModelFamily::Sd2Inpainting,
        (true, _) => ModelFamily::Sd2,
        (false, 9) => ModelFamily::Sd1Inpainting,
        (false, 8) => ModelFamily::Sd1InstructPix2Pix,
        (false, _) => ModelFamily::Sd1,
    })
}

fn failed(error: impl Into<Error>) -> ConvertError {
    Box::new(error.into()).into()
}
