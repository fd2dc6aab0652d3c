//! The same world, everywhere and always.

use sd_world::{Split, World};

/// The 64-bit FNV-1a hash.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn fingerprint(world: World, split: Split, indices: impl Iterator<Item = u64>) -> u64 {
    hash(indices.flat_map(|index| {
        let example = world.example(split, index);
        example.caption.into_bytes().into_iter().chain(example.image.into_raw())
    }))
}

#[test]
fn examples_do_not_change() {
    let world = World::new(7);
    assert_eq!(fingerprint(world, Split::Train, 0..10), 0xb36f51da6293996d);
    assert_eq!(fingerprint(world, Split::HeldOut, 0..10), 0xfcd53b49fd8f5066);
    assert_eq!(fingerprint(world, Split::Train, u64::MAX - 2..u64::MAX), 0xd5c52527721f623c);
    assert_eq!(world.outline(Split::Train, 0).caption, "a large red circle, a black background");
}

#[test]
fn examples_differ() {
    let world = World::new(7);
    let example = world.example(Split::Train, 3);
    // Not assert_eq, which would print the pictures.
    assert!(example == world.example(Split::Train, 3));
    assert!(example != world.example(Split::Train, 4));
    assert!(example != world.example(Split::HeldOut, 3));
    assert!(example != World::new(8).example(Split::Train, 3));
}
