//! How two groups of objects lie to each other.

use crate::names::named;

named! {
    /// A relation of a first group of objects to a second.
    pub enum Relation {
        /// The first is left of the second.
        LeftOf = "left of",
        /// The first is right of the second.
        RightOf = "right of",
        /// The first is above the second.
        Above = "above",
        /// The first is below the second.
        Below = "below",
        /// The first lies within the outline of the second, and hides a part of it.
        Inside = "inside",
    }
}

impl Relation {
    /// The axis, 0 for x and 1 for y, and whether the first has the smaller coordinate. None for [`Inside`](Self::Inside).
    pub(crate) const fn axis(self) -> Option<(usize, bool)> {
        match self {
            Self::LeftOf => Some((0, true)),
            Self::RightOf => Some((0, false)),
            Self::Above => Some((1, true)),
            Self::Below => Some((1, false)),
            Self::Inside => None,
        }
    }

    /// The relation of the second group to the first. [`Inside`](Self::Inside) has none here.
    pub const fn inverse(self) -> Option<Self> {
        match self {
            Self::LeftOf => Some(Self::RightOf),
            Self::RightOf => Some(Self::LeftOf),
            Self::Above => Some(Self::Below),
            Self::Below => Some(Self::Above),
            Self::Inside => None,
        }
    }
}
