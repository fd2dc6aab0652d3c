//! Places for objects, such that a description is true by a clear margin.

use crate::{Description, Group, Object, Relation, SIDE, Shape, Size, dice::Dice};

/// What is free at the edges of the picture, in pixels.
const EDGE: f32 = 4.0;
/// What is free between two objects' bounding squares.
const GAP: f32 = 6.0;
/// Radii of objects around others.
const CONTAINER_RADII: [f32; 2] = [36.0, 42.0];
/// What is free between an object and the outline around it.
const INNER_GAP: f32 = 4.0;
/// An object's corners are at most so many radii from its centre.
const REACH: f32 = 1.28;
/// How far objects may lie beside the direction of a relation, relative to the distance along it.
const SLANT: f32 = 0.6;

/// A rectangle: the ranges of x and y.
type Area = [[f32; 2]; 2];

const PICTURE: Area = [[EDGE, SIDE as f32 - EDGE]; 2];

/// The sizes that the members of a group can have, one of which is drawn.
pub(crate) fn sizes(count: usize, relation: Option<Relation>, group: usize) -> &'static [Size] {
    match (relation, group) {
        (Some(Relation::Inside), 0) => &[Size::Small],
        (Some(Relation::Inside), _) => &[Size::Large],
        _ if count <= 2 => Size::ALL,
        _ => &[Size::Small, Size::Medium],
    }
}

/// Objects for all groups, or none if that did not succeed: some descriptions are hard to fit, a few impossible.
pub(crate) fn place(dice: &mut Dice, description: &Description) -> Option<Vec<Object>> {
    (0..8).find_map(|_| attempt(dice, description))
}

fn attempt(dice: &mut Dice, description: &Description) -> Option<Vec<Object>> {
    let relation = description.relation;
    let mut radii = Vec::new();
    for (index, group) in description.groups.iter().enumerate() {
        let size = match group.size {
            Some(size) => size,
            None => dice.pick(sizes(description.count(), relation, index)),
        };
        // Objects of a group are almost of one size, so that they look alike.
        let radius = dice.between(size.radii());
        radii.push((size, radius));
    }
    if let (Some(Relation::Inside), [inner, outer]) = (relation, &description.groups[..]) {
        return nest(dice, [inner, outer], radii[0].1);
    }
    let areas = areas(dice, description, &radii)?;
    let mut objects: Vec<Object> = Vec::new();
    for ((group, &(size, radius)), area) in description.groups.iter().zip(&radii).zip(areas) {
        for _ in 0..group.count {
            let centre = find_centre(dice, description, &objects, radius, area)?;
            objects.push(object(dice, group, size, centre, radius));
        }
    }
    is_clear(description, &objects).then_some(objects)
}

/// Where the objects of each group may lie: a relation divides the picture in two.
fn areas(dice: &mut Dice, description: &Description, radii: &[(Size, f32)]) -> Option<Vec<Area>> {
    let mut areas = vec![PICTURE; radii.len()];
    let axis = description.relation.and_then(Relation::axis);
    if let (Some((axis, first_is_lower)), [first, second]) = (axis, radii) {
        let [low, high] = PICTURE[axis];
        let (lower, upper) = if first_is_lower { (0, 1) } else { (1, 0) };
        let radius = [first.1, second.1];
        let cut = [low + 2.0 * radius[lower], high - 2.0 * radius[upper] - GAP];
        if cut[0] > cut[1] {
            return None;
        }
        let cut = dice.between(cut);
        areas[lower][axis] = [low, cut];
        areas[upper][axis] = [cut + GAP, high];
    }
    Some(areas)
}

/// A centre within the area, clear of the other objects.
fn find_centre(
    dice: &mut Dice,
    description: &Description,
    others: &[Object],
    radius: f32,
    area: Area,
) -> Option<[f32; 2]> {
    let mut ranges = area.map(|[low, high]| [low + radius, high - radius]);
    if let Some(position) = description.position {
        for (axis, range) in ranges.iter_mut().enumerate() {
            *range = position.centres(axis, *range);
        }
    }
    if ranges.iter().any(|[low, high]| low > high) {
        return None;
    }
    (0..30).map(|_| ranges.map(|range| dice.between(range))).find(|centre| {
        others.iter().all(|other| {
            let free = radius + other.radius + GAP;
            (0..2).any(|axis| (centre[axis] - other.centre[axis]).abs() >= free)
        })
    })
}

/// Whether the groups of a relation lie along its direction rather than across.
fn is_clear(description: &Description, objects: &[Object]) -> bool {
    let Some((axis, _)) = description.relation.and_then(Relation::axis) else { return true };
    let (first, second) = objects.split_at(description.groups[0].count.min(objects.len()));
    let middle = |objects: &[Object], axis: usize| {
        objects.iter().map(|object| object.centre[axis]).sum::<f32>() / objects.len() as f32
    };
    let distance = |axis| (middle(first, axis) - middle(second, axis)).abs();
    distance(1 - axis) <= SLANT * distance(axis)
}

/// An object of the first group within one of the second.
fn nest(dice: &mut Dice, [inner, outer]: [&Group; 2], radius: f32) -> Option<Vec<Object>> {
    let (below, room) = outer.shape.room()?;
    let outer_radius = dice.between(CONTAINER_RADII);
    let slack = room * outer_radius - REACH * radius - INNER_GAP;
    if slack < 0.0 {
        return None;
    }
    let outer_centre =
        PICTURE.map(|[low, high]| dice.between([low + outer_radius, high - outer_radius]));
    // A square in the disc of that radius.
    let shift = slack * 0.7;
    let centre = [
        outer_centre[0] + dice.between([-shift, shift]),
        outer_centre[1] + below * outer_radius + dice.between([-shift, shift]),
    ];
    Some(vec![
        object(dice, inner, Size::Small, centre, radius),
        object(dice, outer, Size::Large, outer_centre, outer_radius),
    ])
}

fn object(dice: &mut Dice, group: &Group, size: Size, centre: [f32; 2], radius: f32) -> Object {
    const JITTER: [f32; 2] = [-5.0, 5.0];
    let shade = group.colour.shade(dice.between([0.45, 1.0]));
    let shade = shade.map(|value| (value + dice.between(JITTER)).clamp(0.0, 255.0));
    Object { shape: group.shape, colour: group.colour, size, centre, radius, shade }
}

/// The shapes that can hold another object.
pub(crate) fn containers() -> Vec<Shape> {
    Shape::ALL.iter().copied().filter(|shape| shape.room().is_some()).collect()
}
