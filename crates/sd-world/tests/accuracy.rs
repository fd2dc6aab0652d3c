//! The checker agrees with what was drawn.

mod common;

use common::{Damage, measure};
use sd_world::{Column, Split, World};

/// Every column is right in this share of the pictures at least. `SD_WORLD_PICTURES` takes another number of them.
fn expect(share: f64, pictures: u64, damage: Damage) {
    let pictures = std::env::var("SD_WORLD_PICTURES")
        .map_or(pictures, |text| text.parse().expect("a number of pictures"));
    for split in [Split::Train, Split::HeldOut] {
        let tally = measure(World::new(1), split, pictures, damage);
        println!("{split:?} {damage:?}\n{tally}");
        for &column in Column::ALL {
            let found = tally.share(column).expect("all columns are asked for");
            assert!(found >= share, "{split:?}, {damage:?}: {column} is {found}\n{tally}");
        }
    }
}

#[test]
fn drawn_pictures() {
    expect(0.99, 500, Damage::None);
}

#[test]
fn blurred_pictures() {
    expect(0.97, 60, Damage::Blur(1.4));
}

#[test]
fn pictures_with_ringing() {
    expect(0.97, 40, Damage::Ringing);
}
