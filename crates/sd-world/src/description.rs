//! What a caption says, as data.

use crate::{Colour, Position, Relation, Shape, Size, Texture, names::named};

/// Objects that a caption names together: one, or several alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    /// How many there are, at least 1.
    pub count: usize,
    /// Their shape.
    pub shape: Shape,
    /// Their colour.
    pub colour: Colour,
    /// Their size, if the caption names it.
    pub size: Option<Size>,
}

impl Group {
    /// A single object whose size is not named.
    pub fn one(colour: Colour, shape: Shape) -> Self {
        Self { count: 1, shape, colour, size: None }
    }

    /// As many as `count` of them.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// The same with its size named.
    #[must_use]
    pub fn sized(self, size: Size) -> Self {
        Self { size: Some(size), ..self }
    }
}

/// A background as a caption names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backdrop {
    /// Its colour.
    pub colour: Colour,
    /// Its texture, if the caption names it. Only plain backgrounds are drawn without naming it.
    pub texture: Option<Texture>,
}

named! {
    /// The kind of statement that a caption makes.
    pub enum Kind {
        /// One object.
        Single = "single",
        /// Several objects that are all alike.
        Count = "count",
        /// One object and another, and how they lie to each other.
        Pair = "pair",
        /// Two groups, of several objects at least one of them, and how they lie to each other.
        Groups = "groups",
        /// Objects that are listed.
        List = "list",
    }
}

/// What a caption says: what its picture has to show.
///
/// No two groups have the same colour and the same shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Description {
    /// The groups, in the caption's order. At most 4 objects in all.
    pub groups: Vec<Group>,
    /// How the first group lies to the second. Only if there are two.
    pub relation: Option<Relation>,
    /// Where the only object is. Only if there is one.
    pub position: Option<Position>,
    /// The background, if it is named.
    pub background: Option<Backdrop>,
}

impl Description {
    /// These groups and nothing more.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups, relation: None, position: None, background: None }
    }

    /// The first group lies so to the second.
    #[must_use]
    pub fn related(self, relation: Relation) -> Self {
        Self { relation: Some(relation), ..self }
    }

    /// The only object lies there.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }

    /// On a background of this colour, whose texture is not named.
    #[must_use]
    pub fn on(self, colour: Colour) -> Self {
        Self { background: Some(Backdrop { colour, texture: None }), ..self }
    }

    /// The number of objects.
    pub fn count(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The kind of statement.
    pub fn kind(&self) -> Kind {
        match (self.relation, self.groups.len(), self.count()) {
            (Some(_), _, 2) => Kind::Pair,
            (Some(_), ..) => Kind::Groups,
            (None, 0 | 1, 0 | 1) => Kind::Single,
            (None, 0 | 1, _) => Kind::Count,
            (None, ..) => Kind::List,
        }
    }
}
