//! What the demo model makes of many prompts, on one sheet: the picture at the top of the README.
//!
//! ```sh
//! cargo run --release --example demo_sheet -- sheet.png [MODEL_DIR]
//! ```

use image::{RgbImage, imageops};
use sd_core::{LoadOptions, Pipeline, Recycler, TextToImage, backend::DefaultBackend, save_png};

#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model");
const COLUMNS: usize = 6;
const GAP: usize = 4;

const PROMPTS: [&str; 18] = [
    "three red circles above a blue square",
    "a red circle",
    "two yellow hearts",
    "a black star on a white background",
    "a small green cross inside a large purple diamond on an orange background",
    "four purple stars on a yellow background",
    "a blue ring in the top left corner",
    "a white diamond to the left of a black square on a striped blue background",
    "a yellow heart above a green triangle",
    "three white crosses on a dotted red background",
    "a large orange ring",
    "a red star below a white circle on a black background",
    "a purple triangle in the bottom right corner",
    "two green squares to the right of a yellow ring",
    "a small blue circle inside a large yellow square",
    "a red heart, a blue star and a white ring on a gray background",
    "a black triangle on a green background",
    "an orange circle in the center on a blue gradient background",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().unwrap_or_else(|| "sheet.png".to_owned());
    let model = arguments.next().unwrap_or_else(|| DEMO.to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?;
    let request = TextToImage::batch(PROMPTS).steps(25).guidance_scale(4.0).seed(1);
    let sheet = sheet(&pipeline.generate(&request)?);
    save_png(&sheet, &PROMPTS.join("\n"), out.as_ref())?;
    println!("{out}: {}×{}", sheet.width(), sheet.height());
    Ok(())
}

/// Pictures of one size beside and below each other, on white.
fn sheet(images: &[RgbImage]) -> RgbImage {
    let side = |index: usize, size: u32| index * (size as usize + GAP);
    let (width, height) = images.first().map_or((0, 0), RgbImage::dimensions);
    let rows = images.len().div_ceil(COLUMNS);
    let size = [side(COLUMNS, width), side(rows, height)].map(|side| (side - GAP.min(side)) as u32);
    let mut sheet = RgbImage::from_pixel(size[0], size[1], image::Rgb([255; 3]));
    for (index, image) in images.iter().enumerate() {
        let [x, y] = [side(index % COLUMNS, width), side(index / COLUMNS, height)];
        imageops::replace(&mut sheet, image, x as i64, y as i64);
    }
    sheet
}
