//! A run is an iterator of steps: look at each, and stop when it is enough.
//!
//! ```sh
//! cargo run --release --example step_by_step -- MODEL_DIR "a lighthouse at dusk"
//! ```

use sd_core::{LoadOptions, Pipeline, TextToImage, backend::DefaultBackend};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-sd1");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| FIXTURE.to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "a lighthouse at dusk".to_owned());

    let pipeline = Pipeline::<DefaultBackend>::from_pretrained(&model, &LoadOptions::default())?;
    let request = TextToImage::new(prompt).steps(12).seed(42);

    // Progress and previews.
    let mut run = pipeline.run(&request)?;
    for step in run.by_ref() {
        let step = step?;
        let preview = step.preview()?.remove(0);
        let centre = preview.get_pixel(preview.width() / 2, preview.height() / 2);
        println!("{}/{} t = {:.0}, centre {:?}", step.index + 1, step.total, step.timestep, centre);
    }
    let image = run.finish()?.remove(0);
    println!("finished: {}×{}", image.width(), image.height());

    // To cancel, stop asking: after three steps this run is dropped.
    let steps = pipeline.run(&request)?.take(3).collect::<Result<Vec<_>, _>>()?;
    println!("cancelled after step {} of {}", steps.len(), request.steps);

    // A run may also move to a thread of its own.
    let run = pipeline.run(&request)?;
    let images =
        std::thread::spawn(move || run.finish()).join().map_err(|_| "the thread died")??;
    assert_eq!(images[0], image, "the same request makes the same picture");
    Ok(())
}
