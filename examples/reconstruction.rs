//! What an autoencoder loses: pictures of the drawn world that training never drew, encoded and decoded. The table is of what the
//! checker reads in them then: no denoiser of these latents can do better.
//!
//! ```sh
//! cargo run --release --example reconstruction -- [MODEL_DIR] [PICTURES]
//! ```

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use image::RgbImage;
use sd_core::{Precision, Recycler, backend::DefaultBackend, components::VaeCodec, to_images};
use sd_world::{Example, SIDE, Split, Tally, World, judge, read};

#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model");
/// The seed of the measured pictures; that of the training data is another.
const WORLD: u64 = 2024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| DEMO.to_owned());
    let count: u64 = arguments.next().map_or(Ok(200), |count| count.parse())?;
    let device = Default::default();
    let directory = Path::new(&model).join("vae");
    let codec = VaeCodec::<DefaultBackend>::load(&directory, &device, Precision::F32, None)?;

    let world = World::new(WORLD);
    let (mut ratios, mut tally) = (Vec::new(), Tally::default());
    for index in 0..count {
        let Example { scene, image: picture, .. } = world.example(Split::HeldOut, index);
        let pixels = Tensor::from_data(planes(&picture), &device);
        let latents = codec.model().encode(pixels)?.mode();
        let decoded = to_images(codec.model().decode(latents)?)?.remove(0);
        ratios.push(psnr(&picture, &decoded));
        tally.add(&judge(&scene.description, &read(&decoded)));
    }
    ratios.sort_by(f64::total_cmp);
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let [least, median] = [0, ratios.len() / 2].map(|index| ratios[index]);
    println!(
        "{count} held-out pictures: PSNR {mean:.2} dB, median {median:.2}, least {least:.2}\n\n{tally}"
    );
    Ok(())
}

/// `[1, 3, height, width]`, −1 to 1.
fn planes(picture: &RgbImage) -> TensorData {
    let side = SIDE as usize;
    let values: Vec<f32> = (0..3)
        .flat_map(|channel| picture.pixels().map(move |pixel| pixel[channel]))
        .map(|value| f32::from(value) / 127.5 - 1.0)
        .collect();
    TensorData::new(values, [1, 3, side, side])
}

/// The ratio of signal to noise in decibels, over all pixels of a picture.
fn psnr(expected: &RgbImage, found: &RgbImage) -> f64 {
    let pairs = expected.as_raw().iter().zip(found.as_raw());
    let squares: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let mean = squares / expected.as_raw().len() as f64;
    10.0 * (255.0f64.powi(2) / mean.max(1e-9)).log10()
}
