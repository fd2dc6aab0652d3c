//! Where in the picture an object is.

use crate::{SIDE, names::named};

named! {
    /// A part of the picture. It is divided into thirds; a side's name says nothing about the other direction.
    pub enum Position {
        /// The upper left ninth.
        TopLeft = "top left",
        /// The upper third.
        Top = "top",
        /// The upper right ninth.
        TopRight = "top right",
        /// The left third.
        Left = "left",
        /// The ninth in the middle.
        Centre = "centre",
        /// The right third.
        Right = "right",
        /// The lower left ninth.
        BottomLeft = "bottom left",
        /// The lower third.
        Bottom = "bottom",
        /// The lower right ninth.
        BottomRight = "bottom right",
    }
}

impl Position {
    /// The thirds of x and y that the position names, from 0 to 2.
    const fn thirds(self) -> [Option<u8>; 2] {
        match self {
            Self::TopLeft => [Some(0), Some(0)],
            Self::Top => [None, Some(0)],
            Self::TopRight => [Some(2), Some(0)],
            Self::Left => [Some(0), None],
            Self::Centre => [Some(1), Some(1)],
            Self::Right => [Some(2), None],
            Self::BottomLeft => [Some(0), Some(2)],
            Self::Bottom => [None, Some(2)],
            Self::BottomRight => [Some(2), Some(2)],
        }
    }

    /// Whether an object with this centre, in pixels, is there.
    pub fn holds(self, centre: [f32; 2]) -> bool {
        let third = SIDE as f32 / 3.0;
        self.thirds().iter().zip(centre).all(|(named, value)| match named {
            Some(0) => value < third,
            Some(1) => (third..=2.0 * third).contains(&value),
            Some(_) => value > 2.0 * third,
            None => true,
        })
    }

    /// The range of centres along x (axis 0) or y (1) that is 5 pixels within, cut down to `free`.
    pub(crate) fn centres(self, axis: usize, free: [f32; 2]) -> [f32; 2] {
        const MARGIN: f32 = 5.0;
        let third = SIDE as f32 / 3.0;
        match self.thirds()[axis] {
            Some(0) => [free[0], third - MARGIN],
            Some(1) => [third + MARGIN, 2.0 * third - MARGIN],
            Some(_) => [2.0 * third + MARGIN, free[1]],
            None => free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninths_and_thirds() {
        assert!(Position::TopLeft.holds([20.0, 20.0]) && !Position::TopLeft.holds([60.0, 20.0]));
        assert!(Position::Top.holds([60.0, 20.0]) && Position::Top.holds([20.0, 20.0]));
        assert!(Position::Centre.holds([64.0, 64.0]) && !Position::Centre.holds([64.0, 30.0]));
        assert!(Position::Right.holds([100.0, 3.0]) && !Position::Right.holds([64.0, 3.0]));
    }
}
