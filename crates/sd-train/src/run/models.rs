//! The models of a run, from a directory in diffusers' layout.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    path::Path,
};

use burn::{
    module::AutodiffModule,
    tensor::{
        DType,
        backend::{Backend, BackendTypes},
    },
};
use sd_clip::{ClipTextConfig, ClipTextModel, ClipTokenizer};
use sd_kernels::{DiffusionBackend, TrainBackend};
use sd_nn::{
    checkpoint::{LoadOptions, load_module, open_weights},
    config,
};
use sd_schedulers::SchedulerConfig;
use sd_unet::{UNet2DConditionModel, UNetConfig};
use sd_vae::{AutoencoderKL, AutoencoderKLConfig};

use super::RunFile;
use crate::{
    AutoencoderTask, ContextTable, Contexts, DiffusionTask, LatentTable, Latents, TrainError,
    data::{ImageFolder, Pictures},
    diffusion_task::caption_features,
    objective::Diffusion,
};

pub(super) fn autoencoder<B: TrainBackend>(
    file: &RunFile,
    device: &<B as BackendTypes>::Device,
) -> Result<AutoencoderTask<B>, TrainError> {
    seed::<B>(file, device);
    Ok(AutoencoderTask {
        model: vae(&file.model, device, file.from_scratch)?,
        pictures: pictures(file)?,
        objective: file.autoencoder,
        device: device.clone(),
    })
}

pub(super) fn diffusion<B: TrainBackend>(
    file: &RunFile,
    device: &<B as BackendTypes>::Device,
) -> Result<DiffusionTask<B>, TrainError> {
    seed::<B>(file, device);
    let scheduler = scheduler(&file.model)?;
    let failed = |error| TrainError::part("scheduler", error);
    let training = scheduler.training().map_err(failed)?;
    let schedule = training.schedule().map_err(failed)?;
    let options = file.diffusion.objective;
    let objective = Diffusion::new(schedule, training.prediction_type, options)
        .map_err(|error| TrainError::part("scheduler", error))?;
    let tokenizer = ClipTokenizer::from_dir(file.model.join("tokenizer"))
        .map_err(|error| TrainError::part("tokenizer", error))?;
    let train_text_encoder = file.diffusion.train_text_encoder;
    let text_encoder = text_encoder(&file.model, device, file.from_scratch && train_text_encoder)?;
    let length = tokenizer.max_length().min(text_encoder.config().max_position_embeddings);
    let tokenizer =
        tokenizer.with_max_length(length).map_err(|error| TrainError::part("tokenizer", error))?;
    let (vae, pictures) = (vae::<B::InnerBackend>(&file.model, device, false)?, pictures(file)?);
    let latents = match file.data.framing.random_crop || file.data.framing.random_flip {
        true => Latents::Fresh,
        false => Latents::Table(LatentTable::open_or_encode(
            &file.output.join("latents.safetensors"),
            &key(file, &["vae"], &format!("{:?}", file.data.framing))?,
            &vae,
            &pictures,
            device,
        )?),
    };
    let contexts = match train_text_encoder {
        true => Contexts::Fresh,
        false => Contexts::Table(ContextTable::open_or_encode(
            &file.output.join("contexts.safetensors"),
            &key(file, &["text_encoder", "tokenizer"], "")?,
            pictures.folder(),
            |captions| caption_features(&text_encoder.valid(), &tokenizer, captions),
        )?),
    };
    Ok(DiffusionTask {
        unet: unet(&file.model, device, file.from_scratch)?,
        text_encoder,
        train_text_encoder,
        tokenizer,
        vae,
        pictures,
        latents,
        contexts,
        objective,
        scheduler,
        loss: file.diffusion.loss,
        caption_dropout: file.diffusion.caption_dropout,
        device: device.clone(),
    })
}

/// Makes weights from scratch follow from the run's seed, too.
fn seed<B: Backend>(file: &RunFile, device: &B::Device) {
    if file.from_scratch {
        B::seed(device, file.train.seed);
    }
}

fn pictures(file: &RunFile) -> Result<Pictures, TrainError> {
    let folder = ImageFolder::open(&file.data.folder)?;
    tracing::info!(examples = folder.len(), skipped = folder.skipped().len(), "data");
    Ok(Pictures::new(folder, file.data.framing))
}

fn scheduler(model: &Path) -> Result<SchedulerConfig, TrainError> {
    let text = config::read_text(model.join("scheduler/scheduler_config.json"))?;
    SchedulerConfig::from_json(&text).map_err(|error| TrainError::part("scheduler", error))
}

fn vae<B: DiffusionBackend>(
    model: &Path,
    device: &B::Device,
    from_scratch: bool,
) -> Result<AutoencoderKL<B>, TrainError> {
    let directory = model.join("vae");
    let config = AutoencoderKLConfig::open(directory.join("config.json"))?;
    let vae = config.init::<B>(device).map_err(|error| TrainError::part("vae", error))?;
    match from_scratch {
        true => Ok(vae),
        false => Ok(vae.load(open_weights(&directory, None)?.as_ref(), DType::F32)?.0),
    }
}

fn unet<B: DiffusionBackend>(
    model: &Path,
    device: &B::Device,
    from_scratch: bool,
) -> Result<UNet2DConditionModel<B>, TrainError> {
    let directory = model.join("unet");
    let failed = |error| TrainError::part("unet", error);
    let config = UNetConfig::open(directory.join("config.json")).map_err(failed)?;
    let unet = config.init::<B>(device).map_err(failed)?;
    match from_scratch {
        true => Ok(unet),
        false => {
            let weights = open_weights(&directory, None)?;
            Ok(load_module::<B, _>(unet, weights.as_ref(), &LoadOptions::new(DType::F32))?.0)
        }
    }
}

fn text_encoder<B: DiffusionBackend>(
    model: &Path,
    device: &B::Device,
    from_scratch: bool,
) -> Result<ClipTextModel<B>, TrainError> {
    let directory = model.join("text_encoder");
    let config = ClipTextConfig::open(directory.join("config.json"))?;
    let text = config.init::<B>(device).map_err(|error| TrainError::part("text_encoder", error))?;
    match from_scratch {
        true => Ok(text),
        false => Ok(text.load(open_weights(&directory, None)?.as_ref(), DType::F32)?.0),
    }
}

/// What a table is of: the files of some parts of the model, the list of pictures, and whatever else decides.
fn key(file: &RunFile, parts: &[&str], more: &str) -> Result<String, TrainError> {
    let mut hasher = DefaultHasher::new();
    let mut paths = Vec::new();
    for part in parts {
        let directory = file.model.join(part);
        let entries = fs::read_dir(&directory).map_err(TrainError::io("read", &directory))?;
        paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    paths.sort();
    paths.push(file.data.folder.join("metadata.jsonl"));
    for path in paths.iter().filter(|path| path.is_file()) {
        hasher.write(&fs::read(path).map_err(TrainError::io("read", path))?);
    }
    hasher.write(more.as_bytes());
    Ok(format!("{:016x}", hasher.finish()))
}
