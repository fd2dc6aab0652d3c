//! A prompt in, a PNG out.
//!
//! ```sh
//! cargo run --release --example text_to_image -- "three red circles above a blue square"
//! cargo run --release --example text_to_image -- "a lighthouse at dusk" out.png MODEL_DIR
//! ```
//!
//! Without a model's directory, the demo model of this repository makes it.

use std::path::Path;

use sd_core::{
    LoadOptions, Pipeline, Recycler, TextToImage, backend::DefaultBackend, parameters, save_png,
};

// The CPU backend asks for the same large blocks in every step.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let prompt = arguments.next().unwrap_or_else(|| "three red circles above a blue square".into());
    let out = arguments.next().unwrap_or_else(|| "out.png".to_owned());
    let model = arguments.next().unwrap_or_else(|| DEMO.to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?;
    let request = TextToImage::new(prompt).steps(25).guidance_scale(4.0).seed(42);
    let image = pipeline.generate(&request)?.remove(0);
    save_png(&image, &parameters(&pipeline, &request, 0), Path::new(&out))?;
    println!("{out}: {}×{}", image.width(), image.height());
    Ok(())
}
