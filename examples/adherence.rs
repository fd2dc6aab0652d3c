//! How far a model of the drawn world follows its prompts: generates pictures for captions that training never drew, reads
//! them back and counts what is right.
//!
//! ```sh
//! cargo run --release --example adherence -- [MODEL_DIR] [CAPTIONS] [GUIDANCE ..]
//! ```
//!
//! A last line says what a negative prompt does: how many pictures of captions that name no background keep the one that they got
//! when it is negated.

use sd_core::{LoadOptions, Pipeline, Recycler, Seeds, TextToImage, backend::DefaultBackend};
use sd_world::{Example, Reading, Split, Tally, World, judge, read};

#[global_allocator]
static ALLOCATOR: Recycler = Recycler::new();

type Model = Pipeline<DefaultBackend>;
type Failure = Box<dyn std::error::Error>;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model");
const STEPS: usize = 25;
/// Prompts that are worked on together.
const BATCH: usize = 10;
/// The seed of the measured captions; that of the training data is another.
const WORLD: u64 = 2024;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_else(|| DEMO.to_owned());
    let captions = arguments.next().map_or(Ok(500), |count| count.parse())?;
    let mut guidance: Vec<f64> = arguments.map(|scale| scale.parse()).collect::<Result<_, _>>()?;
    if guidance.is_empty() {
        guidance.push(4.0);
    }
    let pipeline = Model::from_pretrained(&model, &LoadOptions::default())?;
    let world = World::new(WORLD);
    let examples: Vec<Example> =
        (0..captions).map(|index| world.example(Split::HeldOut, index)).collect();
    for scale in &guidance {
        let tally = adherence(&pipeline, &examples, *scale)?;
        println!("guidance {scale}, {STEPS} steps, {captions} held-out captions\n\n{tally}\n");
    }
    let (pictures, kept) = negated(&pipeline, &world, captions, guidance[0])?;
    println!(
        "negative prompt, guidance {}: of {pictures} pictures of captions without a background, {kept} keep the colour of \
         theirs when it is negated",
        guidance[0]
    );
    Ok(())
}

fn adherence(pipeline: &Model, examples: &[Example], scale: f64) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    for (batch, chunk) in examples.chunks(BATCH).enumerate() {
        let captions = chunk.iter().map(|example| example.caption.clone());
        let request = TextToImage::batch(captions).guidance_scale(scale);
        for (reading, example) in readings(pipeline, request, batch)?.iter().zip(chunk) {
            tally.add(&judge(&example.scene.description, reading));
        }
    }
    Ok(tally)
}

/// Pictures of captions that name no background, and how many of them keep its colour when that is negated.
fn negated(
    pipeline: &Model,
    world: &World,
    captions: u64,
    scale: f64,
) -> Result<(usize, usize), Failure> {
    let open: Vec<String> = (0..captions)
        .map(|index| world.example(Split::Train, index))
        .filter(|example| example.scene.description.background.is_none())
        .map(|example| example.caption)
        .collect();
    let mut kept = 0;
    for (batch, chunk) in open.chunks(BATCH).enumerate() {
        let request = TextToImage::batch(chunk.iter().cloned()).guidance_scale(scale);
        let before = readings(pipeline, request.clone(), batch)?;
        let named = before.iter().map(|reading| format!("a {} background", reading.background));
        let request = request.negative_prompts(named.collect());
        let with = readings(pipeline, request, batch)?;
        kept += before.iter().zip(with).filter(|(a, b)| a.background == b.background).count();
    }
    Ok((open.len(), kept))
}

fn readings(pipeline: &Model, request: TextToImage, batch: usize) -> Result<Vec<Reading>, Failure> {
    let first = (batch * BATCH) as u64;
    let seeds = (first..first + request.prompts.len() as u64).collect();
    let images = pipeline.generate(&request.seed(Seeds::PerImage(seeds)).steps(STEPS))?;
    Ok(images.iter().map(read).collect())
}
