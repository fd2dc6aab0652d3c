//! Agreement with diffusers: relative L2 of the whole model in f32 at most 1e-5.

use burn_autodiff::Autodiff;
use burn_ndarray::NdArray;
use sd_kernels::DiffusionBackend;
use sd_unet::UNetInput;

use crate::fixtures::{self, Golden, relative_l2};

type B = NdArray<f32>;

const TOLERANCE: f64 = 1e-5;

#[track_caller]
fn check<B: DiffusionBackend>(folder: &str, file: &str, prefix: &str) {
    let golden = Golden::open(file, prefix);
    let output = fixtures::model::<B>(folder).forward(golden.input()).unwrap();
    let error = relative_l2(output, golden.tensor("output.sample"));
    assert!(error <= TOLERANCE, "{folder}, {file} {prefix}: relative L2 {error:e}");
}

macro_rules! repositories {
    ($($name:ident: $folder:literal, $file:literal, $case:literal;)*) => {$(
        #[test]
        fn $name() {
            let file = concat!("unet_", $file, ".safetensors");
            check::<B>(concat!($folder, "/unet"), file, concat!($case, "/"));
        }
    )*};
}

repositories! {
    sd1_plain: "tiny-sd1", "sd1", "plain";
    sd1_timestep_of_each_sample: "tiny-sd1", "sd1", "per_sample";
    sd1_fractional_timestep: "tiny-sd1", "sd1", "fractional";
    sd1_odd_size: "tiny-sd1", "sd1", "odd_size";
    sd1_residuals: "tiny-sd1", "sd1", "residuals";
    sd1_residuals_odd_size: "tiny-sd1", "sd1", "residuals_odd";
    sd2_plain: "tiny-sd2", "sd2", "plain";
    sd2_timestep_of_each_sample: "tiny-sd2", "sd2", "per_sample";
    sd2_fractional_timestep: "tiny-sd2", "sd2", "fractional";
    sd2_odd_size: "tiny-sd2", "sd2", "odd_size";
    sd2_residuals: "tiny-sd2", "sd2", "residuals";
    sd2_residuals_odd_size: "tiny-sd2", "sd2", "residuals_odd";
}

macro_rules! kinds {
    ($($name:ident: $folder:literal;)*) => {
        $(
            #[test]
            fn $name() {
                check::<B>(
                    concat!("unets/", $folder),
                    concat!("unets/", $folder, "/golden.safetensors"),
                    "",
                );
            }
        )*

        /// No fixture is forgotten.
        #[test]
        fn every_kind_is_tested() {
            let entries = std::fs::read_dir(fixtures::path("unets")).unwrap();
            let mut found: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            found.sort();
            assert_eq!(found, [$($folder),*]);
        }
    };
}

kinds! {
    class_identity: "class-identity";
    class_projection: "class-projection";
    class_simple_projection: "class-simple-projection";
    class_timestep: "class-timestep";
    guidance_embedding: "guidance-embedding";
    inpaint: "inpaint";
    mid_none: "mid-none";
    mid_plain: "mid-plain";
    only_cross_attention: "only-cross-attention";
    refiner: "refiner";
    reverse_transformer_layers: "reverse-transformer-layers";
    scale_shift: "scale-shift";
    sdxl: "sdxl";
    unusual_numbers: "unusual-numbers";
    upscaler: "upscaler";
}

/// The default bodies of the operations, which is what training and backends without kernels run on.
#[test]
fn default_bodies_agree() {
    type Training = Autodiff<NdArray<f32>>;
    check::<Training>("tiny-sd2/unet", "unet_sd2.safetensors", "residuals_odd/");
    check::<Training>("unets/sdxl", "unets/sdxl/golden.safetensors", "");
    check::<Training>("unets/upscaler", "unets/upscaler/golden.safetensors", "");
}

/// Weights stored in f16 and read into f32.
#[test]
fn sd1_f16_file() {
    let (inputs, golden) = ("unet_sd1.safetensors", "fp16_weights/");
    let input: UNetInput<B> = Golden::open(inputs, "plain/").input();
    let output = fixtures::model::<B>("tiny-sd1-fp16/unet").forward(input).unwrap();
    let error = relative_l2(output, Golden::open(inputs, golden).tensor("output.sample"));
    assert!(error <= TOLERANCE, "relative L2 {error:e}");
}

/// Burn 0.21 reorders the elements of shared permuted tensors, and the prediction goes to guidance and hooks of users.
#[test]
fn predictions_lie_in_memory_as_their_shape_says() {
    let model = fixtures::model::<B>("tiny-sd1/unet");
    let shared =
        model.forward(Golden::open("unet_sd1.safetensors", "fractional/").input()).unwrap();
    let (expected, found) = (shared.clone().into_data(), shared.clone().abs().into_data());
    for (expected, found) in expected.iter::<f32>().zip(found.iter::<f32>()) {
        assert_eq!(expected.abs(), found);
    }
}

/// A mask of ones changes nothing, one with zeros hides what stands there.
#[test]
fn the_context_mask_hides_keys() {
    let model = fixtures::model::<B>("tiny-sd1/unet");
    let plain = || Golden::open("unet_sd1.safetensors", "fractional/").input::<B>();
    let expected = model.forward(plain()).unwrap();
    let masked = |mask: [f32; 7], context| {
        let mask = burn::tensor::Tensor::from_data([mask], &Default::default());
        let mut input = plain();
        (input.context, input.context_mask) = (context, Some(mask));
        model.forward(input).unwrap()
    };
    let all = masked([1.0; 7], plain().context);
    assert!(relative_l2(all, expected.clone()) < 1e-6);

    let some = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let hidden = masked(some, plain().context);
    assert!(relative_l2(hidden.clone(), expected) > 1e-3);
    let other = plain().context.slice_fill([0..1, 5..7], 3.0);
    assert!(relative_l2(masked(some, other), hidden) < 1e-6);
}
