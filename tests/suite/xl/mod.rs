//! SDXL against diffusers: the same request makes the same latents and the same images.

mod case;
#[cfg(feature = "ndarray")]
mod refusals;

use burn::tensor::backend::BackendTypes;
use case::{BASE, REFINER, XlCase, repository};
use sd_core::{
    DiffusionBackend, LoadOptions, Pipeline, Precision, Run,
    sd_schedulers::{Scheduler, SchedulerConfig},
};

use crate::common::{Tolerance, compare};

/// What differs most from other models: sizes that are no square under guidance, and a refiner that goes on. Each run takes
/// seconds on a GPU that the CPU plays.
#[cfg(feature = "wgpu")]
const FEW: [&str; 2] = ["base", "refiner_start"];

fn load<B: DiffusionBackend>(name: &str, device: &<B as BackendTypes>::Device) -> Pipeline<B> {
    let options = LoadOptions::<B>::default().device(device.clone()).dtypes(Precision::F32);
    Pipeline::from_pretrained(repository(name).path(), &options).unwrap()
}

/// The scheduler that diffusers resolved for a case.
fn scheduler(case: &XlCase) -> Box<dyn Scheduler> {
    let text = serde_json::to_string(&case.scheduler_config).unwrap();
    SchedulerConfig::from_json(&text).unwrap().build().unwrap()
}

fn start<B: DiffusionBackend>(case: &XlCase, pipeline: &Pipeline<B>) -> Run<B> {
    let pipeline = pipeline.clone().with_scheduler(scheduler(case));
    pipeline.run(&case.request()).unwrap()
}

/// Every run.
#[allow(dead_code, reason = "a GPU that the CPU plays makes a few of them")]
fn all() -> Vec<&'static str> {
    [&BASE[..], &["lcm"], &REFINER].concat()
}

/// Makes runs, and reports all that fail.
fn check<B: DiffusionBackend>(
    names: &[&str],
    device: &<B as BackendTypes>::Device,
    tolerance: Tolerance,
) {
    let cases: Vec<XlCase> = names.iter().map(|name| XlCase::load(name)).collect();
    let mut failures = Vec::new();
    let mut checked = 0;
    for model in ["tiny-sdxl", "tiny-sdxl-lcm", "tiny-sdxl-refiner"] {
        let mut cases = cases.iter().filter(|case| case.model == model).peekable();
        if cases.peek().is_none() {
            continue;
        }
        let pipeline = load::<B>(model, device);
        for case in cases {
            let run = start(case, &pipeline);
            failures.extend(compare(&case.name, run, &case.tensors(), tolerance));
            checked += 1;
        }
    }
    assert_eq!(checked, names.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "ndarray")]
mod cpu {
    use burn::tensor::Tensor;
    use sd_core::{
        ImageToImage, Latents, TextToImage,
        backend::Cpu,
        component::{PromptRole, TextInput},
        inspect, parameters, refined_parameters,
    };

    use super::*;
    use crate::common::relative_l2;

    #[test]
    fn xl_latents_and_images_are_those_of_diffusers() {
        check::<Cpu>(&all(), &Default::default(), Tolerance { latents: 1e-4, byte: 2 });
    }

    /// The embeddings of both encoders, and the pooled ones of the second.
    #[test]
    fn xl_embeddings_are_those_of_diffusers() {
        let pipeline = load::<Cpu>("tiny-sdxl", &Default::default());
        let flat = |tensor: Tensor<Cpu, 1>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        for name in ["two_prompts", "clip_skip"] {
            let (case, request) = (XlCase::load(name), XlCase::load(name).text());
            let mut input = TextInput::new(&request.prompts, PromptRole::Positive);
            input.prompts_2 = (!request.prompts_2.is_empty()).then_some(&request.prompts_2[..]);
            input.clip_skip = request.clip_skip;
            let encoded = pipeline.text_encoder().encode(&input).unwrap();
            let encoded = encoded.repeat_each(request.images_per_prompt);
            let tensors = case.tensors();
            let found = [
                ("output.prompt_embeds", flat(encoded.context.flatten(0, 2))),
                ("output.pooled_prompt_embeds", flat(encoded.pooled.unwrap().flatten(0, 1))),
            ];
            for (key, found) in found {
                let error = relative_l2(&found, &tensors.f32(key).1);
                assert!(error <= 1e-5, "{name}, {key}: {error:.2e}");
            }
        }
    }

    /// From the base's prompt to the refiner's picture, as a user does it.
    #[test]
    fn the_refiner_goes_on_from_the_base() {
        let (base, refined) = (XlCase::load("base_end"), XlCase::load("refiner_start"));
        let pipeline = load::<Cpu>("tiny-sdxl", &Default::default());
        let mut run = start(&base, &pipeline);
        assert_eq!(run.len(), 6);
        assert!(run.by_ref().all(|step| step.unwrap().total == 6));
        let latents = run.finish_latents().unwrap();
        let refiner = load::<Cpu>("tiny-sdxl-refiner", &Default::default());
        let request = ImageToImage::new(latents, refined.text()).denoising_start(0.6);
        let mut run = refiner.with_scheduler(scheduler(&refined)).run(&request).unwrap();
        assert_eq!(run.len(), 4);
        let latents = run.finish_latents().unwrap();
        let error = relative_l2(latents.values(), &refined.tensors().f32("output.latents").1);
        assert!(error <= 1e-4, "{error:.2e}");
    }

    /// A picture's text says everything that it depends on, the first model's part too.
    #[test]
    fn pictures_tell_what_was_given() {
        let pipeline = load::<Cpu>("tiny-sdxl", &Default::default());
        let text = TextToImage::new("a cat")
            .prompt_2("in oil, by a master")
            .negative_prompt_2("frame")
            .original_size(256, 128)
            .crops_coords_top_left(8, 0)
            .negative_target_size(64, 32)
            .seed(42);
        let first = parameters(&pipeline, &text, 0);
        for expected in [
            "Seed: 42",
            "Prompt 2: \"in oil, by a master\", Negative prompt 2: frame",
            "Original size: 256x128, Crop top left: \"8,0\", Negative target size: 64x32",
        ] {
            assert!(first.contains(expected), "{expected} in {first}");
        }
        let latents = Latents::new([1, 4, 1, 1], vec![0.0; 4]).unwrap();
        let text = TextToImage::new("a cat").aesthetic_score(7.5).seed(43);
        let refined = ImageToImage::new(latents, text).denoising_start(0.5);
        let both = refined_parameters(&first, &pipeline, &refined, 0);
        let second = both.strip_prefix(&first).unwrap();
        let expected = "Refiner seed: 43, Denoising start: 0.5, Aesthetic score: 7.5";
        assert!(second.contains(expected), "{expected} in {second}");
    }

    /// A component of another class is as good as none.
    #[test]
    fn components_of_another_class_are_reported() {
        let directory = repository("tiny-sdxl-refiner");
        let report = inspect::<Cpu>(directory.path()).unwrap();
        assert!(report.requires_aesthetics_score && report.missing.is_empty());
        let index = directory.path().join("model_index.json");
        let text = std::fs::read_to_string(&index).unwrap();
        let other = text.replace("CLIPTextModelWithProjection", "CLIPTextModel");
        assert_ne!(text, other);
        std::fs::write(&index, other).unwrap();
        assert_eq!(inspect::<Cpu>(directory.path()).unwrap().missing, ["text_encoder_2"]);
    }

    /// Both encoders' parameters are told apart.
    #[test]
    fn parameters_bear_the_name_of_their_component() {
        let mut pipeline = load::<Cpu>("tiny-sdxl", &Default::default());
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        pipeline.visit_parameters(&mut |component, _| {
            *counts.entry(component.to_owned()).or_default() += 1;
        });
        let names: Vec<&str> = counts.keys().map(String::as_str).collect();
        assert_eq!(names, ["text_encoder", "text_encoder_2", "unet", "vae"]);
        assert_eq!(counts["text_encoder"] + 1, counts["text_encoder_2"], "text_projection");
        let mut mapped = std::collections::BTreeMap::<String, usize>::new();
        let count = &mut |component: &str, _: &str, value| {
            *mapped.entry(component.to_owned()).or_default() += 1;
            value
        };
        pipeline.map_parameters(count).unwrap();
        assert_eq!(mapped, counts);
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use sd_core::backend::{Wgpu, wgpu_available};

    use super::*;
    use crate::common::skip;

    #[test]
    fn wgpu_xl_latents_and_images_are_those_of_diffusers() {
        match wgpu_available() {
            Ok(()) => {
                check::<Wgpu>(&FEW, &Default::default(), Tolerance { latents: 1e-3, byte: 3 });
            }
            Err(error) => skip("wgpu", &error),
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use sd_core::backend::{Cuda, cuda_available};

    use super::*;
    use crate::common::skip;

    #[test]
    fn cuda_xl_latents_and_images_are_those_of_diffusers() {
        match cuda_available() {
            Ok(()) => {
                check::<Cuda>(&all(), &Default::default(), Tolerance { latents: 1e-2, byte: 8 });
            }
            Err(error) => skip("cuda", &error),
        }
    }
}
