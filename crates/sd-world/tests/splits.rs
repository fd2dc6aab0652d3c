//! Training never sees what is held out, and everything else occurs.

use std::collections::BTreeSet;

use sd_world::{
    Colour, Kind, Outline, Position, Relation, Shape, Size, Split, Texture, World, combinations,
    is_held_out, split_words, words,
};

fn outlines(split: Split, count: u64) -> impl Iterator<Item = Outline> {
    let world = World::new(3);
    (0..count).map(move |index| world.outline(split, index))
}

fn has_held_out_combination(outline: &Outline) -> bool {
    combinations(&outline.scene.description, outline.scene.background.colour)
        .iter()
        .any(|combination| is_held_out(combination))
}

#[test]
fn the_splits_are_disjoint() {
    let mut seen = BTreeSet::new();
    for outline in outlines(Split::Train, 10_000) {
        assert!(!has_held_out_combination(&outline), "{}", outline.caption);
        // Some of the wordings that are held out, as they are read.
        for wording in ["that are", "side of", "inside of", "and the background"] {
            assert!(!outline.caption.contains(wording), "{}", outline.caption);
        }
        seen.extend(outline.phrases);
    }
    let mut novelties = BTreeSet::new();
    for outline in outlines(Split::HeldOut, 2000) {
        let is_new = outline.phrases.iter().any(|phrase| !seen.contains(phrase));
        assert_eq!(is_new, outline.novelty.wording, "{}", outline.caption);
        let combination = has_held_out_combination(&outline);
        assert_eq!(combination, outline.novelty.combination, "{}", outline.caption);
        assert!(outline.scene.description.background.is_some());
        novelties.insert((combination, is_new));
    }
    assert_eq!(novelties.len(), 3);
    assert!(!novelties.contains(&(false, false)));
}

#[test]
fn every_word_occurs_in_training() {
    let mut seen = BTreeSet::new();
    for outline in outlines(Split::Train, 10_000) {
        let words = split_words(&outline.caption);
        assert!(words.len() <= 50, "{}", outline.caption);
        seen.extend(words);
    }
    assert_eq!(words(), seen.iter().cloned().collect::<Vec<_>>());
    for outline in outlines(Split::HeldOut, 2000) {
        assert!(split_words(&outline.caption).iter().all(|word| seen.contains(word)));
        assert!(!outline.caption.contains(['{', '}']) && !outline.caption.contains("  "));
    }
}

#[test]
fn everything_occurs() {
    for split in [Split::Train, Split::HeldOut] {
        let (mut objects, mut backgrounds) = (BTreeSet::new(), BTreeSet::new());
        let (mut statements, mut counts) = (BTreeSet::new(), BTreeSet::new());
        for Outline { scene, .. } in outlines(split, 4000) {
            objects.extend(scene.objects.iter().map(|object| (object.shape, object.colour)));
            backgrounds.insert((scene.background.colour, scene.background.texture));
            let description = &scene.description;
            assert_eq!(scene.objects.len(), description.count());
            statements.insert((description.kind(), description.relation, description.position));
            counts.extend(
                description.groups.iter().map(|group| (group.count, group.size, group.shape)),
            );
        }
        assert_eq!(objects.len(), Shape::ALL.len() * Colour::OF_OBJECTS.len());
        assert_eq!(backgrounds.len(), Colour::ALL.len() * Texture::ALL.len());
        // Alone, or in one of the positions; counted; a pair in 5 relations; groups in 4; listed.
        assert_eq!(statements.len(), 1 + Position::ALL.len() + 1 + Relation::ALL.len() + 4 + 1);
        assert!(statements.contains(&(Kind::Groups, Some(Relation::Above), None)));
        for &shape in Shape::ALL {
            assert!((1..=4).all(|count| counts.contains(&(count, None, shape))));
            assert!(Size::ALL.iter().all(|&size| counts.contains(&(1, Some(size), shape))));
        }
    }
}
