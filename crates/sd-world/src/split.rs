//! What training never sees.

use crate::{Colour, Description, Relation};

/// A part of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Pictures to train on. They have no combination and no wording that is held out.
    Train,
    /// Pictures and captions to measure on. Each has a combination or a wording that is held out, or both. The background
    /// is always named.
    HeldOut,
}

/// Of 100 combinations, so many are held out.
const HELD_OUT_PERCENT: u32 = 8;

/// Whether a combination, as [`combinations`] writes it, is held out of training. The rule is the same in all worlds.
pub fn is_held_out(combination: &str) -> bool {
    fnv1a(combination.as_bytes()) % 100 < HELD_OUT_PERCENT
}

/// The combinations that a description has: each shape and colour with the colour of the background
/// (`red circle on blue`), and the two sides of a relation (`red circle above blue square`; the relation from the other
/// side is a combination, too, since the picture is the same).
pub fn combinations(description: &Description, background: Colour) -> Vec<String> {
    let groups = &description.groups;
    let mut combinations: Vec<String> = groups
        .iter()
        .map(|group| format!("{} {} on {background}", group.colour, group.shape))
        .collect();
    if let (Some(relation), [first, second, ..]) = (description.relation, &groups[..]) {
        let related = |relation: Relation, [a, b]: [&crate::Group; 2]| {
            format!("{} {} {relation} {} {}", a.colour, a.shape, b.colour, b.shape)
        };
        combinations.push(related(relation, [first, second]));
        if let Some(inverse) = relation.inverse() {
            combinations.push(related(inverse, [second, first]));
        }
    }
    combinations
}

/// The 32-bit FNV-1a hash, mixed once more because its low digits are weak.
fn fnv1a(bytes: &[u8]) -> u32 {
    let hash = bytes
        .iter()
        .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash ^ (hash >> 13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn about_one_in_twelve_is_held_out() {
        let mut count = [0; 2];
        for &shape in Shape::ALL {
            for &colour in Colour::OF_OBJECTS {
                let mut seen = 0;
                for background in Colour::ALL.iter().filter(|&&background| background != colour) {
                    let held_out = is_held_out(&format!("{colour} {shape} on {background}"));
                    count[usize::from(held_out)] += 1;
                    seen += usize::from(!held_out);
                }
                assert!(seen > 3, "{colour} {shape} is hardly seen in training");
            }
        }
        assert_eq!(count[0] + count[1], 512);
        assert!((30..=52).contains(&count[1]), "{count:?}");
    }
}
