//! The phrases that captions are made of. Gaps are in braces.

use crate::{Colour, Position, Relation, Shape, Size, Texture};

/// A phrase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phrase {
    pub(super) text: &'static str,
    /// How often it is chosen, relative to the others of its table.
    pub(super) weight: usize,
    /// Whether it is held out of training. Its words are not: each occurs in another phrase.
    pub(super) held_out: bool,
}

const fn seen(weight: usize, text: &'static str) -> Phrase {
    Phrase { text, weight, held_out: false }
}

const fn held(text: &'static str) -> Phrase {
    Phrase { text, weight: 1, held_out: true }
}

/// A table whose place is the program itself.
macro_rules! table {
    ($($phrase:expr),+ $(,)?) => {
        const { &[$($phrase),+] }
    };
}

pub(super) const FRAMES: &[Phrase] = &[
    seen(9, "{statement} on {background}"),
    seen(4, "{statement} with {background}"),
    seen(2, "{background} with {statement}"),
    seen(3, "on {background}, {statement}"),
    seen(2, "{statement}, {background}"),
    seen(2, "a picture of {statement} on {background}"),
    seen(1, "an image of {statement} with {background}"),
    seen(1, "a drawing of {statement}, {background}"),
    seen(2, "there {be} {statement} on {background}"),
    seen(2, "{statement}, the background is {complement}"),
    seen(1, "{background}, {statement}"),
    seen(1, "{background} and {statement}"),
    seen(1, "a picture of {background} with {statement}"),
    seen(1, "an image of {statement} on {background}"),
    seen(1, "a drawing of {statement} on {background}"),
    seen(1, "there {be} {statement} with {background}"),
    seen(1, "a picture of {statement}, the background is {complement}"),
    seen(1, "the background is {complement} with {statement}"),
    seen(1, "the background is {complement} and there {be} {statement}"),
    held("the background is {complement}, {statement}"),
    held("on {background} there {be} {statement}"),
    held("a drawing of {statement} with {background}"),
    held("there {be} {statement} and the background is {complement}"),
];
pub(super) const BARE_FRAMES: &[Phrase] = &[
    seen(6, "{statement}"),
    seen(1, "a picture of {statement}"),
    seen(1, "an image of {statement}"),
    seen(1, "a drawing of {statement}"),
    seen(2, "there {be} {statement}"),
];

pub(super) const GRAY: &[Phrase] = &[seen(1, "gray"), seen(1, "grey")];

/// Backgrounds with their article.
pub(super) const fn backgrounds(texture: Option<Texture>) -> &'static [Phrase] {
    match texture {
        None => table![seen(1, "a {colour} background")],
        Some(Texture::Plain) => table![seen(1, "a plain {colour} background")],
        Some(Texture::Stripes) => table![
            seen(3, "a striped {colour} background"),
            seen(1, "a {colour} background with stripes"),
        ],
        Some(Texture::Dots) => {
            table![
                seen(3, "a dotted {colour} background"),
                seen(1, "a {colour} background with dots")
            ]
        }
        Some(Texture::Gradient) => table![
            seen(3, "a {colour} gradient background"),
            seen(1, "a {colour} background with a gradient"),
        ],
    }
}

/// Backgrounds after `the background is`.
pub(super) const fn complements(texture: Option<Texture>) -> &'static [Phrase] {
    match texture {
        None => table![seen(1, "{colour}")],
        Some(Texture::Plain) => table![seen(1, "plain {colour}")],
        Some(Texture::Stripes) => {
            table![seen(1, "striped {colour}"), seen(1, "{colour} with stripes")]
        }
        Some(Texture::Dots) => table![seen(1, "dotted {colour}"), seen(1, "{colour} with dots")],
        Some(Texture::Gradient) => table![seen(1, "a {colour} gradient")],
    }
}

/// Two groups and their relation, in the plainest way.
pub(super) const RELATED: &[Phrase] = &[seen(1, "{first} {relation} {second}")];

/// Two groups and their relation. `many`: there are several in the second.
pub(super) const fn related(relation: Relation, many: bool) -> &'static [Phrase] {
    match (relation, many) {
        (Relation::Inside, _) => table![
            seen(3, "{first} {relation} {second}"),
            seen(1, "{second} with {first} inside it"),
            seen(1, "{second}, {first} inside it"),
            held("{first} that {be} {relation} {second}"),
        ],
        (_, false) => table![
            seen(4, "{first} {relation} {second}"),
            seen(1, "{second} and {first} {relation} it"),
            seen(1, "{second}, {first} {relation} it"),
            held("{first} that {be} {relation} {second}"),
            held("{second} with {first} {relation} it"),
        ],
        (_, true) => {
            table![
                seen(1, "{first} {relation} {second}"),
                held("{first} that {be} {relation} {second}")
            ]
        }
    }
}

pub(super) const fn relations(relation: Relation) -> &'static [Phrase] {
    match relation {
        Relation::LeftOf => table![
            seen(2, "left of"),
            seen(3, "to the left of"),
            seen(1, "on the left of"),
            held("on the left side of"),
        ],
        Relation::RightOf => table![
            seen(2, "right of"),
            seen(3, "to the right of"),
            seen(1, "on the right of"),
            held("on the right side of"),
        ],
        Relation::Above => table![seen(3, "above"), seen(1, "over")],
        Relation::Below => table![seen(3, "below"), seen(1, "under"), seen(1, "beneath")],
        Relation::Inside => {
            table![seen(3, "inside"), seen(1, "in"), seen(1, "within"), held("inside of")]
        }
    }
}

pub(super) const PLACED: &[Phrase] =
    &[seen(1, "{first} {position}"), held("{first} that {be} {position}")];

pub(super) fn places(position: Position) -> &'static [Phrase] {
    match position {
        Position::Centre => table![
            seen(2, "in the centre"),
            seen(2, "in the middle"),
            seen(2, "in the center"),
            seen(1, "at the centre"),
        ],
        Position::Top | Position::Bottom => table![seen(1, "at the {position}")],
        Position::Left | Position::Right => {
            table![seen(2, "on the {position}"), seen(1, "on the {position} side")]
        }
        _ => table![
            seen(3, "in the {position}"),
            seen(2, "in the {position} corner"),
            seen(1, "at the {position}"),
        ],
    }
}

/// Lists of so many groups.
pub(super) const fn lists(count: usize) -> &'static [Phrase] {
    match count {
        0..=2 => table![seen(4, "{1} and {2}"), seen(1, "{1} with {2}")],
        3 => table![
            seen(4, "{1}, {2} and {3}"),
            seen(1, "{1} and {2} and {3}"),
            seen(1, "{1}, {2}, {3}"),
            held("{1} with {2} and {3}"),
        ],
        _ => table![
            seen(4, "{1}, {2}, {3} and {4}"),
            seen(1, "{1} and {2} and {3} and {4}"),
            seen(1, "{1}, {2}, {3}, {4}"),
            held("{1} and {2} with {3} and {4}"),
        ],
    }
}

pub(super) const NOUN: &str = "{number} {size} {colour} {shape}";
pub(super) const NOUNS_OF_ONE: &[Phrase] = &[
    seen(12, NOUN),
    seen(1, "{number} {size} {shape} that {be} {colour}"),
    seen(1, "{number} {size} {shape} in {colour}"),
];
pub(super) const NOUNS_OF_MANY: &[Phrase] = &[
    seen(6, NOUN),
    seen(1, "{number} {size} {shape} in {colour}"),
    held("{number} {size} {shape} that are {colour}"),
];

pub(super) const fn numbers(count: usize) -> &'static [Phrase] {
    match count {
        0 | 1 => table![seen(6, "a"), seen(1, "one")],
        2 => table![seen(5, "two"), seen(1, "2")],
        3 => table![seen(5, "three"), seen(1, "3")],
        _ => table![seen(5, "four"), seen(1, "4")],
    }
}

pub(super) const fn sizes(size: Size) -> &'static [Phrase] {
    match size {
        Size::Small => table![seen(3, "small"), seen(1, "little")],
        Size::Medium => table![seen(1, "medium")],
        Size::Large => table![seen(3, "large"), seen(1, "big")],
    }
}

/// All that captions can be made of, gaps included.
pub(crate) fn texts() -> Vec<&'static str> {
    let mut tables = vec![FRAMES, BARE_FRAMES, GRAY, PLACED, NOUNS_OF_ONE, NOUNS_OF_MANY];
    for texture in std::iter::once(None).chain(Texture::ALL.iter().copied().map(Some)) {
        tables.extend([backgrounds(texture), complements(texture)]);
    }
    for &relation in Relation::ALL {
        tables.extend([relations(relation), related(relation, false), related(relation, true)]);
    }
    tables.extend(Position::ALL.iter().map(|&position| places(position)));
    tables.extend((1..=4).flat_map(|count| [lists(count), numbers(count)]));
    tables.extend(Size::ALL.iter().map(|&size| sizes(size)));
    let mut texts: Vec<&'static str> =
        tables.into_iter().flatten().map(|phrase| phrase.text).collect();
    // The verbs, and what other gaps take.
    texts.extend(["is", "are", "an"]);
    texts.extend(Colour::ALL.iter().map(|colour| colour.name()));
    texts.extend(Shape::ALL.iter().flat_map(|shape| [shape.name(), shape.plural()]));
    texts.extend(Position::ALL.iter().map(|position| position.name()));
    texts
}
