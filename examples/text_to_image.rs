//! A prompt in, a PNG out.
//!
//! ```sh
//! cargo run --release --example text_to_image -- MODEL_DIR "a lighthouse at dusk"
//! ```

use std::path::Path;

use sd_core::{
    LoadOptions, Pipeline, Recycler, TextToImage, backend::DefaultBackend, parameters, save_png,
};

// The CPU backend asks for the same large blocks in every step.
#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-sd1");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| FIXTURE.to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "a lighthouse at dusk".to_owned());
    let out = arguments.next().unwrap_or_else(|| "out.png".to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?;
    let request = TextToImage::new(prompt).negative_prompt("blurry").steps(20).seed(42);
    let image = pipeline.generate(&request)?.remove(0);
    save_png(&image, &parameters(&pipeline, &request, 0), Path::new(&out))?;
    println!("{out}: {}×{}", image.width(), image.height());
    Ok(())
}
