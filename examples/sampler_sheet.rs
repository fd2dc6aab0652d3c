//! One prompt and one seed by several samplers and numbers of steps, on one sheet: a row for each sampler, a column for each number.
//!
//! ```sh
//! cargo run --release --example sampler_sheet -- sheet.png
//! ```

use image::{RgbImage, imageops};
use sd_core::{
    LoadOptions, Pipeline, Recycler, SchedulerKind, TextToImage, backend::DefaultBackend, save_png,
};

#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model");
const PROMPT: &str = "three red circles above a blue square";
const STEPS: [usize; 5] = [3, 6, 12, 25, 50];
const SAMPLERS: [&str; 6] = ["DDIM", "Euler", "Euler a", "DPM++ 2M", "DPM++ 2M SDE", "UniPC"];
const GAP: u32 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "sheet.png".to_owned());
    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(DEMO, &LoadOptions::default())?;
    let [width, height] = pipeline.default_size().map(|side| side as u32 + GAP);
    let size = [STEPS.len() as u32 * width, SAMPLERS.len() as u32 * height].map(|side| side - GAP);
    let mut sheet = RgbImage::from_pixel(size[0], size[1], image::Rgb([255; 3]));
    for (row, name) in SAMPLERS.iter().enumerate() {
        let sampler: SchedulerKind = name.parse()?;
        for (column, steps) in STEPS.into_iter().enumerate() {
            let request = TextToImage::new(PROMPT).scheduler(sampler).steps(steps);
            let image = pipeline.generate(&request.guidance_scale(4.0).seed(1))?.remove(0);
            let [x, y] = [column as u32 * width, row as u32 * height].map(i64::from);
            imageops::replace(&mut sheet, &image, x, y);
        }
        println!("{name}");
    }
    save_png(&sheet, PROMPT, out.as_ref())?;
    println!("{out}: {}×{}", sheet.width(), sheet.height());
    Ok(())
}
