//! What a decoder does to pictures, and the measuring of many.

use std::thread;

use image::{RgbImage, imageops};
use sd_world::{SIDE, Split, Tally, World, judge, read};

/// What may happen to a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    /// Nothing.
    None,
    /// A Gaussian blur of this standard deviation in pixels, then noise.
    Blur(f32),
    /// Half the resolution and back by Lanczos' method, which leaves ringing, then noise.
    Ringing,
}

/// The largest noise of a value, and the largest shift of a whole channel.
const NOISE: i32 = 12;

impl Damage {
    pub(crate) fn apply(self, image: &RgbImage, seed: u64) -> RgbImage {
        const LANCZOS: imageops::FilterType = imageops::FilterType::Lanczos3;
        let mut image = match self {
            Self::None => return image.clone(),
            Self::Blur(sigma) => imageops::blur(image, sigma),
            Self::Ringing => {
                let half = imageops::resize(image, SIDE / 2, SIDE / 2, LANCZOS);
                imageops::resize(&half, SIDE, SIDE, LANCZOS)
            }
        };
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            (state >> 33) as i32 % (2 * NOISE + 1) - NOISE
        };
        let shift = [random(), random(), random()];
        for rgb in image.chunks_exact_mut(3) {
            for (value, shift) in rgb.iter_mut().zip(shift) {
                *value = (i32::from(*value) + shift + random()).clamp(0, 255) as u8;
            }
        }
        image
    }
}

/// Judges the first pictures of a split, on as many threads as there are cores.
pub(crate) fn measure(world: World, split: Split, count: u64, damage: Damage) -> Tally {
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for index in (thread..count).step_by(threads as usize) {
                        let example = world.example(split, index);
                        let reading = read(&damage.apply(&example.image, index));
                        tally.add(&judge(&example.scene.description, &reading));
                    }
                    tally
                })
            })
            .collect();
        let mut tally = Tally::default();
        workers.into_iter().for_each(|worker| tally.merge(&worker.join().expect("no panic")));
        tally
    })
}
