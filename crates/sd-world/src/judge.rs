//! Whether a picture shows what was asked for.

use std::collections::BTreeSet;

use crate::{Colour, Description, Group, Reading, Relation, Seen, Shape, names::named};

named! {
    /// What a picture is judged by.
    pub enum Column {
        /// The colours seen are those asked for: none is missing, none is there besides. How often does not matter.
        Colour = "colour",
        /// The shapes seen are those asked for, likewise. An object that is like no shape is wrong.
        Shape = "shape",
        /// There are as many objects as asked for. If each has a colour and shape that were asked for, there are as many
        /// of each as asked for, too.
        Count = "count",
        /// Of several groups, each shape has its colour: the pairs of colour and shape seen are those asked for. How often
        /// does not matter.
        Binding = "binding",
        /// The background has the colour that was asked for.
        Background = "background",
        /// The background has the texture that was asked for.
        Texture = "texture",
        /// Both groups are seen, and each object of the first lies so to each of the second: inside its outline; or with
        /// its centre on that side of the other's, farther away than either's radius.
        Relation = "relation",
        /// The object is seen, and where it was asked for: its centre is in that third or ninth of the picture. If there
        /// are several like it, all are there.
        Position = "position",
        /// Each group whose size was asked for is seen, and all of its objects have that size.
        Size = "size",
        /// All that was asked for is right.
        All = "all",
    }
}

/// Whether a picture shows what was asked for, in each [`Column`]; none for what was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// See [`Column::Colour`].
    pub colour: bool,
    /// See [`Column::Shape`].
    pub shape: bool,
    /// See [`Column::Count`].
    pub count: bool,
    /// See [`Column::Binding`].
    pub binding: Option<bool>,
    /// See [`Column::Background`].
    pub background: Option<bool>,
    /// See [`Column::Texture`].
    pub texture: Option<bool>,
    /// See [`Column::Relation`].
    pub relation: Option<bool>,
    /// See [`Column::Position`].
    pub position: Option<bool>,
    /// See [`Column::Size`].
    pub size: Option<bool>,
}

impl Verdict {
    /// The verdict in one column.
    pub fn get(&self, column: Column) -> Option<bool> {
        match column {
            Column::Colour => Some(self.colour),
            Column::Shape => Some(self.shape),
            Column::Count => Some(self.count),
            Column::Binding => self.binding,
            Column::Background => self.background,
            Column::Texture => self.texture,
            Column::Relation => self.relation,
            Column::Position => self.position,
            Column::Size => self.size,
            Column::All => Some(self.all()),
        }
    }

    /// Whether nothing that was asked for is wrong.
    pub fn all(&self) -> bool {
        Column::ALL
            .iter()
            .filter(|&&column| column != Column::All)
            .all(|&column| self.get(column) != Some(false))
    }
}

/// Compares what was seen with what was asked for.
pub fn judge(asked: &Description, seen: &Reading) -> Verdict {
    let groups = &asked.groups[..];
    let objects = &seen.objects[..];
    let pairs_asked: BTreeSet<(Colour, Option<Shape>)> =
        groups.iter().map(|group| (group.colour, Some(group.shape))).collect();
    let pairs_seen: BTreeSet<(Colour, Option<Shape>)> =
        objects.iter().map(|object| (object.colour, object.shape)).collect();
    let colours = |pairs: &BTreeSet<(Colour, Option<Shape>)>| -> BTreeSet<Colour> {
        pairs.iter().map(|pair| pair.0).collect()
    };
    let shapes = |pairs: &BTreeSet<(Colour, Option<Shape>)>| -> BTreeSet<Option<Shape>> {
        pairs.iter().map(|pair| pair.1).collect()
    };
    let is_bound = pairs_seen == pairs_asked;
    let is_each_complete =
        || groups.iter().all(|group| members(group, objects).count() == group.count);
    let sized: Vec<&Group> = groups.iter().filter(|group| group.size.is_some()).collect();
    Verdict {
        colour: colours(&pairs_seen) == colours(&pairs_asked),
        shape: shapes(&pairs_seen) == shapes(&pairs_asked),
        count: objects.len() == asked.count() && (!is_bound || is_each_complete()),
        binding: (groups.len() > 1).then_some(is_bound),
        background: asked.background.map(|backdrop| backdrop.colour == seen.background),
        texture: asked
            .background
            .and_then(|backdrop| backdrop.texture)
            .map(|texture| texture == seen.texture),
        relation: match (asked.relation, groups) {
            (Some(relation), [first, second, ..]) => Some(holds(relation, first, second, objects)),
            _ => None,
        },
        position: match (asked.position, groups) {
            (Some(position), [group, ..]) => {
                Some(all(group, objects, |object| position.holds(object.centre)))
            }
            _ => None,
        },
        size: (!sized.is_empty()).then(|| {
            sized.iter().all(|group| all(group, objects, |object| Some(object.size) == group.size))
        }),
    }
}

/// The objects that have the group's colour and shape.
fn members<'a>(group: &Group, objects: &'a [Seen]) -> impl Iterator<Item = (usize, &'a Seen)> {
    let (colour, shape) = (group.colour, Some(group.shape));
    objects
        .iter()
        .enumerate()
        .filter(move |(_, object)| object.colour == colour && object.shape == shape)
}

/// Whether there are objects of the group, and `holds` is true of all.
fn all(group: &Group, objects: &[Seen], holds: impl Fn(&Seen) -> bool) -> bool {
    members(group, objects).next().is_some() && members(group, objects).all(|(_, one)| holds(one))
}

fn holds(relation: Relation, first: &Group, second: &Group, objects: &[Seen]) -> bool {
    let mut pairs = members(first, objects)
        .flat_map(|one| members(second, objects).map(move |other| (one, other)))
        .peekable();
    pairs.peek().is_some()
        && pairs.all(|((_, one), (outer, other))| match relation.axis() {
            None => one.inside == Some(outer),
            Some((axis, first_is_lower)) => {
                let distance = other.centre[axis] - one.centre[axis];
                let distance = if first_is_lower { distance } else { -distance };
                distance > one.radius.max(other.radius)
            }
        })
}
