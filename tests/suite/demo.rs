//! The demo model of this repository, as a user meets it: pictures show what their prompts say, by the checker of `sd-world`.

use std::path::PathBuf;

use image::RgbImage;
use sd_core::{LoadOptions, Pipeline, TextToImage, backend::Cpu};
use sd_world::{Colour, Reading, Shape, read};

use crate::common::{Tensors, relative_l2};

fn model() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-model"))
}

fn pipeline() -> Pipeline<Cpu> {
    Pipeline::from_pretrained(model(), &LoadOptions::default()).unwrap()
}

/// A prompt with the objects, by colour and shape, and the background that its picture has to show.
struct Asked {
    prompt: &'static str,
    objects: &'static [(Colour, Shape)],
    background: Option<Colour>,
}

const fn asked(
    prompt: &'static str,
    objects: &'static [(Colour, Shape)],
    background: Option<Colour>,
) -> Asked {
    Asked { prompt, objects, background }
}

const PROMPTS: [Asked; 12] = [
    asked("a red circle", &[(Colour::Red, Shape::Circle)], None),
    asked("a blue square", &[(Colour::Blue, Shape::Square)], None),
    asked("a green triangle", &[(Colour::Green, Shape::Triangle)], None),
    asked(
        "a black star on a white background",
        &[(Colour::Black, Shape::Star)],
        Some(Colour::White),
    ),
    asked(
        "a yellow heart on a blue background",
        &[(Colour::Yellow, Shape::Heart)],
        Some(Colour::Blue),
    ),
    asked(
        "a purple ring on a gray background",
        &[(Colour::Purple, Shape::Ring)],
        Some(Colour::Gray),
    ),
    asked("an orange cross", &[(Colour::Orange, Shape::Cross)], None),
    asked(
        "a white diamond on a black background",
        &[(Colour::White, Shape::Diamond)],
        Some(Colour::Black),
    ),
    asked(
        "a large red square on a green background",
        &[(Colour::Red, Shape::Square)],
        Some(Colour::Green),
    ),
    asked(
        "a yellow circle to the left of a black square",
        &[(Colour::Yellow, Shape::Circle), (Colour::Black, Shape::Square)],
        None,
    ),
    asked(
        "a blue circle above a red triangle on a white background",
        &[(Colour::Blue, Shape::Circle), (Colour::Red, Shape::Triangle)],
        Some(Colour::White),
    ),
    asked(
        "three red circles above a blue square",
        &[(Colour::Red, Shape::Circle), (Colour::Blue, Shape::Square)],
        None,
    ),
];

fn readings(request: &TextToImage) -> Vec<Reading> {
    pipeline().generate(request).unwrap().iter().map(read).collect()
}

/// Whether every object that is asked for is seen, and nothing else.
fn shows(reading: &Reading, asked: &Asked) -> bool {
    let seen: Vec<_> = reading.objects.iter().map(|seen| (seen.colour, seen.shape)).collect();
    let wanted = |pair: &(Colour, Option<Shape>)| {
        asked.objects.iter().any(|(colour, shape)| *pair == (*colour, Some(*shape)))
    };
    asked.objects.iter().all(|(colour, shape)| seen.contains(&(*colour, Some(*shape))))
        && seen.iter().all(wanted)
        && asked.background.is_none_or(|background| background == reading.background)
}

#[test]
fn pictures_show_what_their_prompts_say() {
    let prompts = PROMPTS.iter().map(|asked| asked.prompt);
    let seen = readings(&TextToImage::batch(prompts).steps(25).guidance_scale(4.0).seed(1));
    let wrong: Vec<String> = PROMPTS
        .iter()
        .zip(&seen)
        .filter(|(asked, reading)| !shows(reading, asked))
        .map(|(asked, reading)| format!("{}: {reading:?}", asked.prompt))
        .collect();
    assert!(PROMPTS.len() - wrong.len() >= 10, "{}", wrong.join("\n"));
}

/// What a negative prompt names goes away: of backgrounds that no prompt asks for, by their colours.
#[test]
fn a_negative_prompt_removes_what_it_names() {
    let request = TextToImage::batch(vec!["a red circle"; 6]).steps(20).guidance_scale(4.0).seed(3);
    let before = readings(&request);
    let named = before.iter().map(|reading| format!("a {} background", reading.background));
    let after = readings(&request.clone().negative_prompts(named.collect()));
    let kept = before.iter().zip(&after).filter(|(a, b)| a.background == b.background).count();
    assert!(kept <= 1, "{kept} of 6 pictures keep their background");
}

#[test]
fn seeds_decide() {
    let pipeline = pipeline();
    let image = |seed: u64| -> RgbImage {
        let request = TextToImage::new("two yellow hearts").steps(8).seed(seed);
        pipeline.generate(&request).unwrap().remove(0)
    };
    let first = image(1);
    assert_eq!(first, image(1));
    let other = image(2);
    let pairs = first.as_raw().iter().zip(other.as_raw());
    let differing = pairs.filter(|(a, b)| a.abs_diff(**b) > 8).count();
    assert!(differing > first.as_raw().len() / 20, "only {differing} bytes differ");
}

/// diffusers opens the same directory, and makes the same picture from the same seed.
#[test]
fn it_agrees_with_diffusers() {
    let reference = Tensors::load("demo.safetensors");
    let request = TextToImage::new("three red circles above a blue square")
        .negative_prompt("a green background")
        .steps(10)
        .guidance_scale(4.0)
        .seed(42);
    let mut run = pipeline().run(&request).unwrap();
    let latents = run.finish_latents().unwrap();
    let (shape, expected) = reference.f32("output.latents");
    assert_eq!(latents.shape(), shape[..]);
    let error = relative_l2(latents.values(), &expected);
    assert!(error <= 1e-4, "latents: relative L2 {error:.2e}");
    let image = run.finish().unwrap().remove(0);
    let (shape, expected) = reference.u8("output.image_u8");
    assert_eq!(shape, [1, image.height() as usize, image.width() as usize, 3]);
    let pairs = image.as_raw().iter().zip(&expected);
    let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 2, "a byte of the image differs by {worst}");
}
