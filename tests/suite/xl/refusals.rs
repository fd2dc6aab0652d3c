//! Requests and directories that do not fit SDXL, or do not fit other models.

use std::sync::Arc;

use burn::tensor::Tensor;
use image::RgbImage;
use sd_core::{
    Error, ImageToImage, Latents, LoadOptions, Pipeline, TextToImage,
    backend::Cpu,
    component::{LatentCodec, PosteriorDraw},
    sd_nn::checkpoint::{ParameterError, ParameterMap, ParameterView, Parameters},
};

use super::repository;
use crate::common::fixture;

fn load(path: &std::path::Path) -> Result<Pipeline<Cpu>, String> {
    Pipeline::from_pretrained(path, &LoadOptions::default()).map_err(|error| error.to_string())
}

/// Changes a JSON file by replacing text that has to be there.
fn edit(path: &std::path::Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn what_a_model_does_not_read_is_refused() {
    let request = TextToImage::new("a cat").size(16, 16).steps(1);
    let refused = |pipeline: &Pipeline<Cpu>, request: &TextToImage| {
        pipeline.run(request).unwrap_err().to_string()
    };
    let sd1 = load(&fixture("tiny-sd1")).unwrap();
    assert!(refused(&sd1, &request.clone().prompt_2("a dog")).contains("prompt_2"));
    assert!(
        refused(&sd1, &request.clone().negative_prompt_2("a dog")).contains("negative_prompt_2")
    );
    assert!(refused(&sd1, &request.clone().original_size(8, 8)).contains("original_size"));
    let xl = load(&fixture("tiny-sdxl")).unwrap();
    assert!(refused(&xl, &request.clone().aesthetic_score(5.0)).contains("aesthetic_score"));
    assert!(xl.run(&request.clone().prompt_2("a dog").original_size(8, 8)).is_ok());
    let directory = repository("tiny-sdxl-refiner");
    let refiner = load(directory.path()).unwrap();
    assert!(refused(&refiner, &request.clone().prompt_2("a dog")).contains("prompt_2"));
    assert!(refused(&refiner, &request.clone().target_size(8, 8)).contains("target_size"));
    assert!(xl.config().force_zeros_for_empty_prompt);
}

#[test]
fn sources_that_do_not_fit_are_refused() {
    let text = TextToImage::new("a cat").steps(2);
    let xl = load(&fixture("tiny-sdxl")).unwrap();
    let refused = |request: ImageToImage| xl.run(&request).unwrap_err().to_string();
    let latents = |shape: [usize; 4], value: f32| {
        Latents::new(shape, vec![value; shape.iter().product()]).unwrap()
    };
    let odd = ImageToImage::new(RgbImage::new(20, 16), text.clone()).strength(0.5);
    assert!(refused(odd).contains("multiple of 8"));
    let narrow = ImageToImage::new(latents([1, 3, 2, 2], 0.0), text.clone()).strength(0.5);
    assert!(refused(narrow).contains("[1, 4, 2, 2]"));
    let broken = ImageToImage::new(latents([1, 4, 2, 2], f32::NAN), text.clone()).strength(0.5);
    assert!(refused(broken).contains("not finite"));
    let weak = ImageToImage::new(latents([1, 4, 2, 2], 0.0), text).strength(0.1);
    assert!(refused(weak).contains("no step is left of 2"));
}

/// An autoencoder that only says that it was asked.
struct Asked(Arc<dyn LatentCodec<Cpu>>);

impl Parameters<Cpu> for Asked {
    fn visit_parameters(&self, _visit: &mut dyn FnMut(ParameterView<'_, Cpu>)) {}

    fn map_parameters(&mut self, _map: &mut ParameterMap<'_, Cpu>) -> Result<(), ParameterError> {
        Ok(())
    }
}

impl LatentCodec<Cpu> for Asked {
    fn factor(&self) -> usize {
        self.0.factor()
    }

    fn latent_channels(&self) -> usize {
        self.0.latent_channels()
    }

    fn decode(&self, latents: Tensor<Cpu, 4>) -> Result<Tensor<Cpu, 4>, Error> {
        self.0.decode(latents)
    }

    fn encode(
        &self,
        _image: Tensor<Cpu, 4>,
        _draw: PosteriorDraw<Cpu>,
    ) -> Result<Tensor<Cpu, 4>, Error> {
        Err(Error::component("vae", "was asked"))
    }
}

#[test]
fn what_is_refused_is_refused_before_the_source_is_encoded() {
    let sd1 = load(&fixture("tiny-sd1")).unwrap();
    let asked = Arc::new(Asked(sd1.vae().clone()));
    let sd1 = sd1.with_vae(asked).unwrap();
    let text = TextToImage::new("a cat").steps(2);
    let error = |text: TextToImage| {
        let request = ImageToImage::new(RgbImage::new(16, 16), text).strength(0.5);
        sd1.run(&request).unwrap_err().to_string()
    };
    assert!(error(text.clone()).contains("was asked"));
    assert!(error(text.prompt_2("a dog")).contains("prompt_2"));
}

#[test]
fn directories_that_contradict_themselves_are_refused() {
    let directory = repository("tiny-sdxl");
    let index = directory.path().join("model_index.json");
    edit(&index, "\"force_zeros_for_empty_prompt\": true", "\"force_zeros_for_empty_prompt\": 1");
    assert!(load(directory.path()).unwrap_err().contains("true or false"));
    edit(&index, "\"force_zeros_for_empty_prompt\": 1", "\"requires_aesthetics_score\": true");
    assert!(load(directory.path()).unwrap_err().contains("5 numbers of 8 features"));
    let config = directory.path().join("text_encoder_2/config.json");
    edit(&config, "CLIPTextModelWithProjection", "CLIPTextModel");
    assert!(load(directory.path()).unwrap_err().contains("CLIPTextModelWithProjection"));
    edit(&index, "CLIPTextModelWithProjection", "CLIPTextModel");
    assert!(load(directory.path()).unwrap_err().contains("text_encoder_2 is a `CLIPTextModel`"));
}
