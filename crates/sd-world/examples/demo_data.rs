//! Writes what the demo model is trained on: a folder of captioned pictures, and the vocabulary of its tokenizer.
//!
//! ```sh
//! cargo run --release -p sd-world --example demo_data -- DIRECTORY COUNT
//! ```

use std::path::PathBuf;

use sd_world::{Bpe, Split, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("expected a directory and a number of pictures".into());
    };
    let directory = PathBuf::from(directory);
    let tokenizer = directory.join("tokenizer");
    std::fs::create_dir_all(&tokenizer)?;
    Bpe::of_world().write(&tokenizer)?;
    World::new(1).write_folder(directory.join("train"), Split::Train, 0..count.parse()?)?;
    Ok(())
}
