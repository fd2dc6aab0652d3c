//! Random descriptions.

use crate::{
    Backdrop, Colour, Description, Group, Kind, Position, Relation, Shape, Size, Texture,
    dice::Dice,
    layout::{containers, sizes},
};

/// What is to be drawn, before anything has its place.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) description: Description,
    pub(crate) colour: Colour,
    pub(crate) texture: Texture,
}

/// A random kind.
pub(crate) fn kind(dice: &mut Dice) -> Kind {
    dice.weighted(&[
        (24, Kind::Single),
        (18, Kind::Count),
        (26, Kind::Pair),
        (16, Kind::Groups),
        (16, Kind::List),
    ])
}

/// A random draft of a kind. `always_named`: the caption is to name the background.
pub(crate) fn draft(dice: &mut Dice, kind: Kind, always_named: bool) -> Draft {
    let colour = dice.pick(Colour::ALL);
    let texture = dice.weighted(&[
        (55, Texture::Plain),
        (15, Texture::Stripes),
        (15, Texture::Dots),
        (15, Texture::Gradient),
    ]);
    let mut description = match kind {
        Kind::Single => single(dice, colour),
        Kind::Count => alike(dice, colour),
        Kind::Pair => pair(dice, colour),
        Kind::Groups => groups(dice, colour),
        Kind::List => list(dice, colour),
    };
    if always_named || dice.chance(90) {
        let texture = (texture != Texture::Plain || dice.chance(15)).then_some(texture);
        description.background = Some(Backdrop { colour, texture });
    }
    Draft { description, colour, texture }
}

fn single(dice: &mut Dice, background: Colour) -> Description {
    let group = any(dice, background, &[]);
    let description = Description::new(vec![name_size(dice, 50, group, Size::ALL)]);
    if dice.chance(50) { description.at(dice.pick(Position::ALL)) } else { description }
}

fn alike(dice: &mut Dice, background: Colour) -> Description {
    let count = dice.pick(&[2, 3, 4]);
    let group = any(dice, background, &[]).times(count);
    Description::new(vec![name_size(dice, 25, group, sizes(count, None, 0))])
}

fn pair(dice: &mut Dice, background: Colour) -> Description {
    let relation = dice.weighted(&[
        (2, Relation::LeftOf),
        (2, Relation::RightOf),
        (2, Relation::Above),
        (2, Relation::Below),
        (3, Relation::Inside),
    ]);
    let mut first = any(dice, background, &[]);
    let mut second = any(dice, background, &[first]);
    if relation == Relation::Inside {
        second.shape = dice.pick(&containers());
        while second.colour == first.colour {
            second = Group { shape: second.shape, ..any(dice, background, &[first]) };
        }
    }
    first = name_size(dice, 25, first, sizes(2, Some(relation), 0));
    second = name_size(dice, 25, second, sizes(2, Some(relation), 1));
    Description::new(vec![first, second]).related(relation)
}

fn groups(dice: &mut Dice, background: Colour) -> Description {
    let [first, second] =
        dice.weighted(&[(3, [2, 1]), (3, [3, 1]), (2, [1, 2]), (2, [1, 3]), (2, [2, 2])]);
    let relation =
        dice.pick(&[Relation::LeftOf, Relation::RightOf, Relation::Above, Relation::Below]);
    let total = first + second;
    let first = any(dice, background, &[]).times(first);
    let second = any(dice, background, &[first]).times(second);
    let groups = [first, second]
        .iter()
        .enumerate()
        .map(|(index, &group)| name_size(dice, 12, group, sizes(total, Some(relation), index)))
        .collect();
    Description::new(groups).related(relation)
}

fn list(dice: &mut Dice, background: Colour) -> Description {
    let count = dice.weighted(&[(3, 2), (4, 3), (3, 4)]);
    let mut groups = Vec::new();
    for _ in 0..count {
        let group = any(dice, background, &groups);
        groups.push(name_size(dice, 12, group, sizes(count, None, 0)));
    }
    Description::new(groups)
}

/// An object that differs from the background in colour, and from the others in colour or in shape.
fn any(dice: &mut Dice, background: Colour, others: &[Group]) -> Group {
    loop {
        let group = Group::one(dice.pick(Colour::OF_OBJECTS), dice.pick(Shape::ALL));
        let is_new = |other: &Group| (other.colour, other.shape) != (group.colour, group.shape);
        if group.colour != background && others.iter().all(is_new) {
            return group;
        }
    }
}

/// Names one of the sizes with a chance of `percent` in 100.
fn name_size(dice: &mut Dice, percent: usize, group: Group, sizes: &[Size]) -> Group {
    if dice.chance(percent) { group.sized(dice.pick(sizes)) } else { group }
}
