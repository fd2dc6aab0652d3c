//! Inputs that do not fit: typed errors that name the input.

use burn::tensor::Tensor;
use burn_ndarray::NdArray;
use sd_unet::{ClassLabels, Residuals, TextTime, UNetInput, UNetInputError};

use crate::fixtures::{self, Golden};

type B = NdArray<f32>;

/// The error of a model for its reference input after a change.
fn refused(folder: &str, change: impl FnOnce(&mut UNetInput<B>)) -> UNetInputError {
    let golden = match folder {
        "tiny-sd1/unet" => Golden::open("unet_sd1.safetensors", "residuals/"),
        _ => Golden::open(&format!("{folder}/golden.safetensors"), ""),
    };
    let mut input = golden.input();
    change(&mut input);
    fixtures::model::<B>(folder).forward(input).unwrap_err()
}

fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    Tensor::zeros(shape, &Default::default())
}

fn added(input: &mut UNetInput<B>) -> &mut TextTime<B> {
    input.added.as_mut().unwrap()
}

fn residuals(input: &mut UNetInput<B>) -> &mut Residuals<B> {
    input.residuals.as_mut().unwrap()
}

#[test]
fn shapes_are_checked() {
    let sd1 = |change: fn(&mut UNetInput<B>)| refused("tiny-sd1/unet", change).to_string();
    assert_eq!(
        sd1(|input| input.sample = zeros([1, 9, 8, 6])),
        "`sample` has shape [1, 9, 8, 6], expected [batch, 4, height, width]"
    );
    assert!(sd1(|input| input.sample = zeros([1, 4, 0, 6])).contains("`sample`"));
    assert_eq!(
        sd1(|input| input.context = zeros([1, 7, 12])),
        "`context` has shape [1, 7, 12], expected [1, keys, 16]"
    );
    assert!(sd1(|input| input.context = zeros([2, 7, 16])).contains("[1, keys, 16]"));
    assert!(sd1(|input| input.context = zeros([1, 0, 16])).contains("`context`"));
    assert!(sd1(|input| input.context_mask = Some(zeros([1, 8]))).contains("`context_mask`"));
}

#[test]
fn timesteps_are_checked() {
    let sd1 = |timesteps| refused("tiny-sd1/unet", |input| input.timesteps = timesteps).to_string();
    assert_eq!(sd1(vec![1.0, 2.0]), "`timesteps` has 2 entries, expected 1 or 1");
    assert!(sd1(vec![]).contains("0 entries"));
    assert_eq!(sd1(vec![f64::NAN]), "`timesteps` holds NaN, expected finite numbers");
}

#[test]
fn residuals_are_checked() {
    let sd1 = |change: fn(&mut UNetInput<B>)| refused("tiny-sd1/unet", change).to_string();
    let missing = sd1(|input| drop(residuals(input).down.pop()));
    assert_eq!(missing, "`residuals.down` has 5 entries, expected 6");
    let wrong = sd1(|input| residuals(input).down[4] = zeros([1, 8, 2, 3]));
    assert_eq!(wrong, "`residuals.down[4]` has shape [1, 8, 2, 3], expected [1, 8, 2, 2]");
    let wrong = sd1(|input| residuals(input).mid = Some(zeros([1, 4, 2, 2])));
    assert_eq!(wrong, "`residuals.mid` has shape [1, 4, 2, 2], expected [1, 8, 2, 2]");
}

#[test]
fn class_labels_are_checked() {
    let upscaler = |labels| refused("unets/upscaler", |input| input.class_labels = labels);
    assert_eq!(
        upscaler(Some(ClassLabels::Indices(vec![3, 20]))),
        UNetInputError::UnknownClass { label: 20, entries: 20 }
    );
    assert!(matches!(upscaler(None), UNetInputError::Missing { input: "class_labels", .. }));
    assert!(matches!(
        upscaler(Some(ClassLabels::Scalars(vec![1.0, 2.0]))),
        UNetInputError::WrongLabels { expected: "indices", found: "scalars" }
    ));
    assert!(matches!(
        upscaler(Some(ClassLabels::Indices(vec![1]))),
        UNetInputError::WrongCount { .. }
    ));
    let vectors = Some(ClassLabels::Vectors(zeros([2, 11])));
    let projection = refused("unets/class-projection", |input| input.class_labels = vectors);
    assert!(projection.to_string().ends_with("expected [2, 10]"), "{projection}");
    let unexpected = refused("unets/sdxl", |input| {
        input.class_labels = Some(ClassLabels::Indices(vec![0, 0]));
    });
    assert!(matches!(unexpected, UNetInputError::Unexpected { input: "class_labels", .. }));
}

#[test]
fn text_and_sizes_are_checked() {
    let sdxl = |change: fn(&mut UNetInput<B>)| refused("unets/sdxl", change).to_string();
    assert_eq!(
        sdxl(|input| input.added = None),
        "`added` is missing, the model has `addition_embed_type`"
    );
    assert!(sdxl(|input| added(input).time_ids[1].truncate(5)).contains("`added.time_ids`"));
    let many = sdxl(|input| added(input).time_ids = vec![vec![1.0; 7]; 2]);
    assert!(many.contains("`added.time_ids` has 7 entries"), "{many}");
    let infinite = sdxl(|input| added(input).time_ids[0][3] = f64::INFINITY);
    assert_eq!(infinite, "`added.time_ids` holds inf, expected finite numbers");
    let narrow = sdxl(|input| added(input).text_embeds = zeros([2, 5]));
    assert_eq!(narrow, "`added.text_embeds` has shape [2, 5], expected [2, 6]");
}

#[test]
fn the_guidance_embedding_is_checked() {
    let wrong = refused("unets/guidance-embedding", |input| {
        input.guidance_condition = Some(zeros([2, 5]));
    });
    assert!(wrong.to_string().contains("`guidance_condition`"), "{wrong}");
    let unexpected = refused("unets/sdxl", |input| input.guidance_condition = Some(zeros([2, 6])));
    assert_eq!(
        unexpected.to_string(),
        "`guidance_condition` is given, but the model has no `time_cond_proj_dim`"
    );
}
