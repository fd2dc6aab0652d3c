//! Tiny models and reference tensors.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor};
use burn_autodiff::Autodiff;
use burn_ndarray::NdArray;
use sd_clip::{ClipTextConfig, ClipTextModel, ClipTokenizer};
use sd_nn::checkpoint::{LoadOptions, SafetensorsFile, WeightSource, load_module, open_weights};
use sd_unet::{UNet2DConditionModel, UNetConfig};
use sd_vae::{AutoencoderKL, AutoencoderKLConfig};

pub(crate) type Inner = NdArray<f32>;
pub(crate) type B = Autodiff<Inner>;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn weights(component: &str) -> Box<dyn WeightSource> {
    Box::new(open_weights(fixture("tiny-sd1").join(component), None).unwrap())
}

pub(crate) fn unet() -> UNet2DConditionModel<B> {
    let config = UNetConfig::open(fixture("tiny-sd1/unet/config.json")).unwrap();
    let model = config.init::<B>(&Default::default()).unwrap();
    load_module(model, weights("unet").as_ref(), &LoadOptions::new(DType::F32)).unwrap().0
}

pub(crate) fn new_vae() -> AutoencoderKL<B> {
    let config = AutoencoderKLConfig::open(fixture("tiny-sd1/vae/config.json")).unwrap();
    config.init::<B>(&Default::default()).unwrap()
}

pub(crate) fn vae() -> AutoencoderKL<B> {
    new_vae().load(weights("vae").as_ref(), DType::F32).unwrap().0
}

pub(crate) fn text_encoder() -> ClipTextModel<B> {
    let config = ClipTextConfig::open(fixture("tiny-sd1/text_encoder/config.json")).unwrap();
    let model = config.init::<B>(&Default::default()).unwrap();
    model.load(weights("text_encoder").as_ref(), DType::F32).unwrap().0
}

pub(crate) fn tokenizer() -> ClipTokenizer {
    ClipTokenizer::from_dir(fixture("tiny-sd1/tokenizer")).unwrap()
}

/// A file of reference tensors.
pub(crate) struct Golden(SafetensorsFile);

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        Self(SafetensorsFile::open(fixture(name)).unwrap())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.names()
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        self.0.read(name, DType::F32).unwrap().iter::<f32>().collect()
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let data = self.0.read(name, DType::F32).unwrap();
        Tensor::from_data(data, (&Default::default(), DType::F32))
    }
}
