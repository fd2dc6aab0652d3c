//! The world: examples by their number.

use std::ops::Range;
use std::path::Path;

use image::RgbImage;

use crate::{
    Background, FolderError, Scene, Split,
    dice::Dice,
    folder, layout, sample,
    split::{combinations, is_held_out},
    wording,
};

/// The streams of random numbers. New ones get new numbers, so that old worlds stay as they are.
const TRAIN_STREAM: u64 = 1;
const HELD_OUT_STREAM: u64 = 2;

/// A source of examples without end, any of which can be had by its number.
///
/// The same seed, split and index give the same example on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    seed: u64,
}

/// What training never sees of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Novelty {
    /// A combination of shapes, colours and relation.
    pub combination: bool,
    /// A wording.
    pub wording: bool,
}

/// A scene and its caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The scene.
    pub scene: Scene,
    /// What is said of it.
    pub caption: String,
    /// The phrases that the caption is made of, with their gaps in braces.
    pub phrases: Vec<&'static str>,
    /// What training never sees of it.
    pub novelty: Novelty,
}

/// A scene, its caption and its picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The scene.
    pub scene: Scene,
    /// What is said of it.
    pub caption: String,
    /// The picture.
    pub image: RgbImage,
}

impl World {
    /// The world with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The example with this number.
    pub fn example(&self, split: Split, index: u64) -> Example {
        let Outline { scene, caption, .. } = self.outline(split, index);
        let image = scene.draw();
        Example { scene, caption, image }
    }

    /// The example with this number, but for its picture.
    pub fn outline(&self, split: Split, index: u64) -> Outline {
        let stream = match split {
            Split::Train => TRAIN_STREAM,
            Split::HeldOut => HELD_OUT_STREAM,
        };
        let mut dice = Dice::new(self.seed, stream, index);
        let novelty = match split {
            Split::Train => Novelty { combination: false, wording: false },
            Split::HeldOut => dice.weighted(&[
                (2, Novelty { combination: true, wording: false }),
                (2, Novelty { combination: false, wording: true }),
                (1, Novelty { combination: true, wording: true }),
            ]),
        };
        // Chosen once, so that all splits have the same share of each kind.
        let kind = sample::kind(&mut dice);
        loop {
            let draft = sample::draft(&mut dice, kind, split == Split::HeldOut);
            let combinations = combinations(&draft.description, draft.colour);
            if combinations.iter().any(|name| is_held_out(name)) != novelty.combination {
                continue;
            }
            let Some(objects) = layout::place(&mut dice, &draft.description) else { continue };
            let background = Background::sample(&mut dice, draft.colour, draft.texture);
            let caption = wording::caption(&mut dice, &draft.description, novelty.wording);
            let scene = Scene { description: draft.description, background, objects };
            return Outline { scene, caption: caption.text, phrases: caption.phrases, novelty };
        }
    }

    /// Writes examples as a Hugging Face image folder: a PNG each, and `metadata.jsonl` with a line
    /// `{"file_name": …, "text": …}` each.
    ///
    /// The folder is made if need be. Files of the same names are replaced, others are left.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn write_folder(
        &self,
        directory: impl AsRef<Path>,
        split: Split,
        range: Range<u64>,
    ) -> Result<(), FolderError> {
        folder::write(self, directory.as_ref(), split, range)
    }
}
