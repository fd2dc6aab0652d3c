//! Writes a sheet of 64 examples as a PNG and prints their captions: `contact_sheet FILE [train|held-out] [FIRST]`.

use std::error::Error;

use image::{RgbImage, imageops};
use sd_world::{SIDE, Split, World};

const COLUMNS: u64 = 8;
const ROWS: u64 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: contact_sheet FILE [train|held-out] [FIRST]")?;
    let split = match arguments.next().as_deref() {
        None | Some("train") => Split::Train,
        Some("held-out") => Split::HeldOut,
        Some(other) => return Err(format!("expected train or held-out, found {other}").into()),
    };
    let first: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;

    let world = World::new(0);
    let step = i64::from(SIDE) + 2;
    let mut sheet = RgbImage::new((COLUMNS as u32) * (SIDE + 2), (ROWS as u32) * (SIDE + 2));
    for place in 0..COLUMNS * ROWS {
        let example = world.example(split, first + place);
        let (column, row) = ((place % COLUMNS) as i64, (place / COLUMNS) as i64);
        imageops::replace(&mut sheet, &example.image, column * step, row * step);
        println!("{:2}.{} {}", row + 1, column + 1, example.caption);
    }
    sheet.save(&path)?;
    Ok(())
}
