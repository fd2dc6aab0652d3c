//! A small world of drawn pictures with exact captions, on which the project's demo model is trained and measured.
//!
//! Pictures are [`SIDE`] pixels square and show one to four coloured shapes on a coloured background. A [`World`] makes as
//! many as are wanted, each with its [`Scene`] and its caption; [`Split::HeldOut`] has combinations and wordings that
//! [`Split::Train`] never has. [`read`] finds out by plain image analysis what a picture shows, and [`judge`] compares
//! that with what a caption asked for, so that it can be measured how far a text-to-image model follows its prompts:
//!
//! ```
//! use sd_world::{Split, Tally, World, judge, read};
//!
//! let world = World::new(7);
//! let mut tally = Tally::default();
//! for index in 0..3 {
//!     let example = world.example(Split::HeldOut, index);
//!     let picture = example.image; // of a model: generate(&example.caption)
//!     tally.add(&judge(&example.scene.description, &read(&picture)));
//! }
//! println!("{tally}");
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
mod colour;
mod description;
mod dice;
mod draw;
mod folder;
mod judge;
mod layout;
mod names;
mod position;
mod read;
mod relation;
mod sample;
mod scene;
mod shape;
mod size;
mod split;
mod tally;
mod vocabulary;
mod wording;
mod world;

pub use background::{Background, Texture};
pub use colour::Colour;
pub use description::{Backdrop, Description, Group, Kind};
pub use folder::FolderError;
pub use judge::{Column, Verdict, judge};
pub use position::Position;
pub use read::{Reading, Seen, read};
pub use relation::Relation;
pub use scene::{Object, Scene};
pub use shape::Shape;
pub use size::Size;
pub use split::{Split, combinations, is_held_out};
pub use tally::Tally;
pub use vocabulary::{Bpe, split_words, words};
pub use world::{Example, Novelty, Outline, World};

/// The width and the height of pictures, in pixels.
pub const SIDE: u32 = 128;
