//! Whole models in one file make the same latents and pictures, bit for bit, as the directories that they are of.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sd_core::{
    ConvertOptions, DepthMap, DepthToImage, Error, ImageToImage, LoadOptions, ModelError, Pipeline,
    Request, TextToImage, Upscale,
    backend::Cpu,
    convert,
    sd_nn::checkpoint::{CheckpointError, FileContents, Prediction, SingleFileOptions},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{copy, fixture};

/// What names and shapes of the tiny models do not tell: those that are published have 32 groups, heads of 64 channels, and
/// sizes by family. Numbers of the samplers and what is predicted are told, and none of them is set here.
const UNTOLD: [(&str, &[&str]); 4] = [
    ("unet", &["attention_head_dim", "norm_num_groups", "sample_size", "addition_time_embed_dim"]),
    ("vae", &["norm_num_groups", "sample_size"]),
    ("text_encoder", &["num_attention_heads"]),
    ("text_encoder_2", &["num_attention_heads"]),
];

/// How a single file is understood as the model in `directory`.
fn understood(directory: &Path) -> SingleFileOptions {
    let mut options = SingleFileOptions::default();
    for (component, keys) in UNTOLD {
        let Ok(text) = fs::read_to_string(directory.join(component).join("config.json")) else {
            continue;
        };
        let config: Value = serde_json::from_str(&text).unwrap();
        for key in keys.iter().filter(|key| !config[**key].is_null()) {
            options = options.config(component, key, config[*key].clone());
        }
    }
    options
}

/// Copies of fixtures, the later over the former.
fn assembled(parts: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in parts {
        copy(&fixture(from), &directory.path().join(to));
    }
    directory
}

/// A directory's model in a single file, alone in a directory of its own.
fn single(directory: &Path) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("model.safetensors");
    convert(directory, &file, &ConvertOptions::default()).unwrap();
    (scratch, file)
}

fn text() -> TextToImage {
    TextToImage::new("a cat! on a mat").negative_prompt("a dog").size(32, 16).steps(4).seed(7)
}

/// Latents and picture of a request.
fn made(pipeline: &Pipeline<Cpu>, request: Request<'_>) -> (Vec<u32>, Vec<u8>) {
    let mut run = pipeline.run(request).unwrap();
    let latents = run.finish_latents().unwrap();
    let bits = latents.values().iter().map(|value| value.to_bits()).collect();
    (bits, run.finish().unwrap().remove(0).into_raw())
}

/// A file that was made of a directory makes what that makes, each with its own sampler, and nothing has to be said of it;
/// `vocabulary` is where the file's is from.
#[track_caller]
fn same(directory: &Path, file: &Path, vocabulary: &Path, request: Request<'_>) {
    same_as_understood(directory, file, SingleFileOptions::default(), vocabulary, request);
}

#[track_caller]
fn same_as_understood(
    directory: &Path,
    file: &Path,
    understood: SingleFileOptions,
    vocabulary: &Path,
    request: Request<'_>,
) {
    let options = LoadOptions::default();
    let expected = Pipeline::<Cpu>::from_pretrained(directory, &options).unwrap();
    let options = options.tokenizer(vocabulary).single_file(understood);
    let found = Pipeline::<Cpu>::from_single_file(file, &options).unwrap();
    assert_eq!(found.default_size(), expected.default_size());
    assert_eq!(found.config(), expected.config());
    assert_eq!(found.scheduler().config().class_name(), expected.scheduler().config().class_name());
    assert!(made(&found, request) == made(&expected, request));
}

#[test]
fn files_of_directories_make_what_the_directories_make() {
    // Each with the vocabulary of another, whose padding is not its own.
    for (model, vocabulary) in [
        ("tiny-sd1", "tiny-sd2/tokenizer"),
        ("tiny-sd2", "tiny-sd1/tokenizer"),
        ("tiny-sdxl", "tiny-sd1/tokenizer"),
    ] {
        let directory = fixture(model);
        let (_keep, file) = single(&directory);
        same(&directory, &file, &fixture(vocabulary), (&text()).into());
    }
}

#[test]
fn so_do_the_refiner_the_depth_model_and_the_upscaler() {
    let picture = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([x as u8 * 16, y as u8, 90]));
    let request = ImageToImage::new(picture.clone(), text().size(16, 16)).strength(0.6);
    let refiner = assembled(&[
        ("tiny-sdxl/text_encoder_2", "text_encoder_2"),
        ("tiny-sdxl/tokenizer_2", "tokenizer_2"),
        ("tiny-sdxl/vae", "vae"),
        ("tiny-sdxl-refiner", ""),
    ]);
    let of_sd2 = |name| {
        let parts =
            ["text_encoder", "tokenizer", "vae"].map(|part| (format!("tiny-sd2/{part}"), part));
        let mut parts: Vec<(&str, &str)> =
            parts.iter().map(|(from, to)| (from.as_str(), *to)).collect();
        parts.push((name, ""));
        assembled(&parts)
    };
    let vocabulary = fixture("tiny-sd1/tokenizer");
    let (_keep, file) = single(refiner.path());
    same(refiner.path(), &file, &vocabulary, (&request).into());

    let depth = of_sd2("tiny-sd2-depth");
    let (_keep, file) = single(depth.path());
    let map = DepthMap::new(16, 16, (0..256).map(|at| at as f32).collect()).unwrap();
    let request = DepthToImage::new(request, map);
    same(depth.path(), &file, &vocabulary, (&request).into());

    let upscaler = of_sd2("tiny-upscaler");
    // A file does not tell how much noise its model takes: it is taken for the published one, 350 levels.
    let index = upscaler.path().join("model_index.json");
    let published = fs::read_to_string(&index)
        .unwrap()
        .replace("\"max_noise_level\": 48", "\"max_noise_level\": 350");
    fs::write(&index, published).unwrap();
    let (_keep, file) = single(upscaler.path());
    let request = Upscale::new(picture, TextToImage::new("a cat").steps(3).seed(7)).noise_level(20);
    same(upscaler.path(), &file, &vocabulary, (&request).into());
}

/// Files that the directories' weights were written to in f16 by PyTorch, of which `convert` makes directories.
#[test]
fn files_of_others_make_what_their_directories_make() {
    for (file, model) in [("tiny-sd1.ckpt", "tiny-sd1"), ("tiny-sd2.safetensors", "tiny-sd2")] {
        let scratch = tempfile::tempdir().unwrap();
        let (file, directory) = (fixture("single").join(file), scratch.path().join("model"));
        let mut options = ConvertOptions::default();
        options.tokenizer = Some(fixture("tiny-sd1/tokenizer"));
        options.single_file = understood(&fixture(model));
        convert(&file, &directory, &options).unwrap();
        let vocabulary = fixture("tiny-sd1/tokenizer");
        let understood = understood(&directory);
        same_as_understood(&directory, &file, understood, &vocabulary, (&text()).into());
    }
}

/// The names of files tell nothing, and a vocabulary beside the file is found.
#[test]
fn a_file_by_any_name_is_loaded_with_what_lies_beside_it() {
    let directory = fixture("tiny-sdxl");
    let (keep, file) = single(&directory);
    let named = keep.path().join("model_index.json");
    fs::rename(file, &named).unwrap();
    let options = LoadOptions::default().single_file(understood(&directory));
    let load = || Pipeline::<Cpu>::from_pretrained(&named, &options);
    let error = load().unwrap_err();
    assert!(matches!(&error, Error::Model(ModelError::NoVocabulary { .. })), "{error}");
    assert!(error.to_string().contains("CLIP's vocab.json and merges.txt"), "{error}");
    copy(&fixture("tiny-sdxl/tokenizer"), &keep.path().join("tokenizer"));
    let expected = Pipeline::<Cpu>::from_pretrained(&directory, &LoadOptions::default()).unwrap();
    let request = text();
    assert!(made(&load().unwrap(), (&request).into()) == made(&expected, (&request).into()));
}

/// What the options say counts more than what the file tells.
#[test]
fn options_of_the_file_and_another_autoencoder_are_heard() {
    let directory = fixture("tiny-sd2");
    let (_keep, file) = single(&directory);
    let told = LoadOptions::default().tokenizer(fixture("tiny-sd1/tokenizer"));
    let load = |options: &LoadOptions<Cpu>| Pipeline::from_single_file(&file, options).unwrap();
    let prediction = |pipeline: &Pipeline<Cpu>| {
        pipeline.scheduler().config().get("prediction_type").cloned().unwrap()
    };
    let plain = load(&told.clone().single_file(understood(&directory)));
    let noise =
        load(&told.clone().single_file(understood(&directory).prediction(Prediction::Noise)));
    assert_eq!((prediction(&plain), prediction(&noise)), (json!("v_prediction"), json!("epsilon")));

    // The autoencoder of 1.x, from its directory and from files: alone, and in a whole model.
    let told = told.single_file(understood(&directory));
    let (_keep, whole) = single(&fixture("tiny-sd1"));
    let own = fixture("tiny-sd1/vae");
    let expected = made(&load(&told.clone().vae(&own)), (&text()).into());
    assert!(expected.1 != made(&plain, (&text()).into()).1);
    assert!(made(&load(&told.clone().vae(&whole)), (&text()).into()) == expected);
    let options = LoadOptions::default().vae(&whole).single_file(understood(&directory));
    let of_directory = Pipeline::<Cpu>::from_pretrained(&directory, &options).unwrap();
    assert!(made(&of_directory, (&text()).into()) == expected);
}

#[test]
fn another_text_encoder_is_heard() {
    let (first, second) = (fixture("tiny-sd1"), assembled(&[("tiny-sd1", "")]));
    // The same shapes and another encoder: the last norm of the text is turned round.
    let weights = second.path().join("text_encoder/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let (_, norm) = tensors
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| name.ends_with("final_layer_norm.weight"))
        .unwrap();
    let [start, end] = [0, 1].map(|at| norm["data_offsets"][at].as_u64().unwrap() as usize);
    // The sign of a little-endian f32.
    (start..end).skip(3).step_by(4).for_each(|at| bytes[8 + header + at] ^= 0x80);
    fs::write(&weights, bytes).unwrap();

    let make = |model: &Path, options: LoadOptions<Cpu>| {
        made(&Pipeline::from_pretrained(model, &options).unwrap(), (&text()).into())
    };
    let plain = LoadOptions::default();
    let expected = make(second.path(), plain.clone());
    assert!(expected != make(&first, plain.clone()));
    let (_keep, whole) = single(second.path());
    let directory = second.path().join("text_encoder");
    for other in [&directory, &weights, &whole] {
        assert!(make(&first, plain.clone().text_encoder(other)) == expected, "{other:?}");
    }
    let (_keep, file) = single(&first);
    let told = plain.tokenizer(fixture("tiny-sd1/tokenizer"));
    assert!(make(&file, told.clone().text_encoder(&weights)) == expected);

    let refused = |model: &str, other: &str| {
        let options = told.clone().text_encoder(fixture(other));
        Pipeline::<Cpu>::from_pretrained(fixture(model), &options).unwrap_err().to_string()
    };
    let error = refused("tiny-sd1", "tiny-sd1/vae/diffusion_pytorch_model.safetensors");
    assert!(error.contains("holds a component in diffusers' layout"), "{error}");
    assert!(refused("tiny-sdxl-refiner", "tiny-sd1/text_encoder").contains("has no text_encoder"));
}

#[test]
fn what_is_no_whole_model_is_refused_by_what_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let options = LoadOptions::default().tokenizer(fixture("tiny-sd1/tokenizer"));
    let refused = |path: &Path| Pipeline::<Cpu>::from_pretrained(path, &options).unwrap_err();
    let page = scratch.path().join("model.safetensors");
    fs::write(&page, "<!DOCTYPE html><html>404</html>").unwrap();
    assert!(refused(&page).to_string().contains("HTML"));

    let write = |name: &str, tensors: &[&str]| {
        let path = scratch.path().join(name);
        let view = || {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 2], &[0; 16])
                .unwrap()
        };
        let tensors = tensors.iter().map(|name| (*name, view()));
        fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        path
    };
    let contents = |path: &Path| match refused(path) {
        Error::Checkpoint(CheckpointError::NotAModel { contents, .. }) => contents,
        other => panic!("{other}"),
    };
    let lora = write("lora", &["lora_unet_mid.lora_down.weight", "lora_unet_mid.lora_up.weight"]);
    assert_eq!(contents(&lora), FileContents::Lora);
    assert!(refused(&lora).to_string().contains("a LoRA, no whole model"));
    let vae = ["decoder.conv_in.weight", "decoder.mid.block_1.conv1.weight"];
    assert_eq!(contents(&write("vae", &vae)), FileContents::Vae);
    let control = ["control_model.zero_convs.0.0.weight"];
    assert_eq!(contents(&write("control", &control)), FileContents::ControlNet);
    assert_eq!(contents(&write("other", &["a"])), FileContents::Unknown);
    assert!(refused(&scratch.path().join("none")).to_string().contains("no such"));

    // Another's vocabulary, and a class that makes no pictures here.
    let (_keep, file) = single(&fixture("tiny-sd1"));
    let load = |options: &LoadOptions<Cpu>| Pipeline::from_single_file(&file, options).unwrap_err();
    let error = load(&options.clone().tokenizer(fixture("clip-tokenizer")));
    assert!(
        matches!(
            &error,
            Error::Model(ModelError::VocabularySize { found: 49408, expected: 754, .. })
        ),
        "{error}"
    );
    let inpainting =
        SingleFileOptions::default().family(sd_core::sd_nn::checkpoint::ModelFamily::Sd1Inpainting);
    let error = load(&options.clone().single_file(inpainting));
    assert!(matches!(&error, Error::Model(ModelError::Class { .. })), "{error}");
    // What a file without a word in its header tells of groups is that of published models.
    let error = Pipeline::from_single_file(fixture("single/tiny-sd1.ckpt"), &options).unwrap_err();
    assert!(error.to_string().contains("norm_num_groups"), "{error}");
}
