//! Pictures with captions.

mod error;
mod folder;
mod picture;
mod pictures;

pub use error::DataError;
pub use folder::{ImageFolder, Skipped};
pub use picture::{Framing, Picture};
pub use pictures::Pictures;
