//! One pipeline, used from four threads at once, makes the images that it makes one after the other.

use crate::common::fixture;
use burn::tensor::backend::BackendTypes;
use sd_core::{DiffusionBackend, LoadOptions, Pipeline, TextToImage};

fn check<B: DiffusionBackend>(device: <B as BackendTypes>::Device) {
    let options = LoadOptions::<B>::default().device(device);
    let pipeline = Pipeline::<B>::from_pretrained(fixture("tiny-sd1"), &options).unwrap();
    let requests: Vec<TextToImage> = (0..4)
        .map(|seed| {
            let request = TextToImage::new(format!("picture number {seed}")).seed(seed).steps(3);
            if seed % 2 == 0 { request.size(32, 32) } else { request.size(48, 32) }
        })
        .collect();
    let alone: Vec<_> =
        requests.iter().map(|request| pipeline.generate(request).unwrap()).collect();
    let shared = &pipeline;
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(move || shared.generate(request).unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(alone == together, "images differ");
    assert!(alone[0] != alone[2], "different prompts and seeds make different images");
}

#[cfg(feature = "ndarray")]
#[test]
fn four_threads_share_a_pipeline() {
    check::<sd_core::backend::Cpu>(Default::default());
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_four_threads_share_a_pipeline() {
    match sd_core::backend::wgpu_available() {
        Ok(()) => check::<sd_core::backend::Wgpu>(Default::default()),
        Err(error) => crate::common::skip("wgpu", &error),
    }
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_four_threads_share_a_pipeline() {
    match sd_core::backend::cuda_available() {
        Ok(()) => check::<sd_core::backend::Cuda>(Default::default()),
        Err(error) => crate::common::skip("cuda", &error),
    }
}
