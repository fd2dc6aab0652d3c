//! Models in diffusers' layout.

use std::path::{Path, PathBuf};

use sd_clip::ClipTokenizer;
use sd_kernels::DiffusionBackend;

use super::{
    Small, TOKENIZERS, UNETS, VAES,
    autoencoder::Autoencoder,
    config, corrected_scheduler,
    other_text_encoder::OtherTextEncoder,
    scheduler,
    text::{Place, TextEncoders},
};
use crate::{
    Error, LoadOptions, Pipeline,
    components::{ClipEncoder, UNetDenoiser, VaeCodec, open_config},
    model_index::ModelIndex,
};

pub(super) fn load<B: DiffusionBackend>(
    directory: &Path,
    options: &LoadOptions<B>,
) -> Result<Pipeline<B>, Error> {
    let index = ModelIndex::open(directory)?;
    index.check_class()?;
    OtherTextEncoder::check(&index, options)?;
    options.dtypes.check::<B>(&options.device)?;
    let small = small(&index)?;
    let text_encoders = TextEncoders::of(&index, |[name, tokenizer], classes| {
        Ok(Directories {
            name,
            tokenizer: index.component(tokenizer, &TOKENIZERS)?,
            text_encoder: index.component(name, classes)?,
        })
    })?;
    let unet = index.component("unet", &UNETS)?;
    let other = Autoencoder::of(options, index.family())?;
    let vae = match &other {
        Some(_) => PathBuf::new(),
        None => index.component("vae", &VAES)?,
    };

    let (device, dtypes) = (&options.device, options.dtypes);
    let variant = options.variant.as_deref();
    small.assemble(
        &text_encoders,
        options,
        || UNetDenoiser::load(&unet, device, dtypes.denoiser, variant),
        || match other {
            Some(other) => other.load(options),
            None => VaeCodec::load(&vae, device, dtypes.vae, variant),
        },
    )
}

fn small(index: &ModelIndex) -> Result<Small, Error> {
    let directory = index.component("scheduler", &[])?;
    Ok(Small {
        scheduler: match index.corrects_schedulers() {
            true => corrected_scheduler(&directory)?,
            false => scheduler(&directory)?,
        },
        low_res_scheduler: match index.is_upscaler() {
            true => Some(scheduler(&index.component("low_res_scheduler", &[])?)?),
            false => None,
        },
        config: config(index)?,
    })
}

/// The directories of a text encoder.
#[derive(Debug, Clone)]
struct Directories {
    name: &'static str,
    tokenizer: PathBuf,
    text_encoder: PathBuf,
}

impl<B: DiffusionBackend> Place<B> for Directories {
    fn path(&self) -> &Path {
        &self.text_encoder
    }

    fn load(&self, options: &LoadOptions<B>) -> Result<ClipEncoder<B>, Error> {
        let (precision, variant) = (options.dtypes.text, options.variant.as_deref());
        let (tokenizer, text_encoder) = (&self.tokenizer, &self.text_encoder);
        let encoder = match OtherTextEncoder::of(self.name, options)? {
            Some(other) => {
                let tokenizer = ClipTokenizer::from_dir(tokenizer)?;
                other.load(tokenizer, || open_config(text_encoder), options)?
            }
            None => {
                ClipEncoder::load(tokenizer, text_encoder, &options.device, precision, variant)?
            }
        };
        Ok(encoder.with_name(self.name))
    }
}
