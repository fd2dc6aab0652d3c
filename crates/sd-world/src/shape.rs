//! The shapes of the world, as the horizontal spans that they cover.

use crate::names::named;

named! {
    /// A shape. It is drawn upright, in the square from -1 to 1 (x to the right, y downwards) times a radius.
    pub enum Shape {
        /// A disc.
        Circle = "circle",
        /// A square with horizontal and vertical sides.
        Square = "square",
        /// An equilateral triangle that points upwards.
        Triangle = "triangle",
        /// A star of five points that points upwards.
        Star = "star",
        /// A disc with a round hole of half its radius.
        Ring = "ring",
        /// An upright cross with four equal arms.
        Cross = "cross",
        /// A square on its tip, a little narrower than high.
        Diamond = "diamond",
        /// A heart.
        Heart = "heart",
    }
}

/// The corners of a polygon, in order.
type Polygon = &'static [[f32; 2]];

const SQUARE: Polygon = &[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]];
const TRIANGLE: Polygon = &[[0.0, -0.9], [1.0, 0.832], [-1.0, 0.832]];
const DIAMOND: Polygon = &[[0.0, -1.0], [0.8, 0.0], [0.0, 1.0], [-0.8, 0.0]];
const CROSS: Polygon = &[
    [-0.32, -0.95],
    [0.32, -0.95],
    [0.32, -0.32],
    [0.95, -0.32],
    [0.95, 0.32],
    [0.32, 0.32],
    [0.32, 0.95],
    [-0.32, 0.95],
    [-0.32, 0.32],
    [-0.95, 0.32],
    [-0.95, -0.32],
    [-0.32, -0.32],
];
/// The inner corners lie at 0.45 of the outer ones.
const STAR: Polygon = &[
    [0.0, -1.0],
    [0.2645, -0.3641],
    [0.9511, -0.309],
    [0.428, 0.1391],
    [0.5878, 0.809],
    [0.0, 0.45],
    [-0.5878, 0.809],
    [-0.428, 0.1391],
    [-0.9511, -0.309],
    [-0.2645, -0.3641],
];
/// The heart below its two discs, whose tangents meet in the tip.
const HEART: Polygon =
    &[[0.0, 0.95], [0.8711, -0.015], [0.5, -0.35], [0.0, -0.35], [-0.5, -0.35], [-0.8711, -0.015]];
const HEART_DISCS: [[f32; 2]; 2] = [[-0.5, -0.35], [0.5, -0.35]];
const HEART_DISC_RADIUS: f32 = 0.5;
const HOLE: f32 = 0.5;

impl Shape {
    /// The plural of the name.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Circle => "circles",
            Self::Square => "squares",
            Self::Triangle => "triangles",
            Self::Star => "stars",
            Self::Ring => "rings",
            Self::Cross => "crosses",
            Self::Diamond => "diamonds",
            Self::Heart => "hearts",
        }
    }

    /// How far below the centre the middle of the greatest disc within the shape lies, and that disc's radius; for shapes
    /// that are large enough within to hold another object.
    pub(crate) const fn room(self) -> Option<(f32, f32)> {
        match self {
            Self::Circle => Some((0.0, 1.0)),
            Self::Square => Some((0.0, 0.9)),
            Self::Triangle => Some((0.255, 0.577)),
            Self::Diamond => Some((0.0, 0.6247)),
            Self::Star | Self::Ring | Self::Cross | Self::Heart => None,
        }
    }

    /// What the shape covers of the line at height `y`.
    pub(crate) fn spans(self, y: f32) -> Spans {
        let mut spans = Spans::default();
        match self {
            Self::Circle => spans.add_disc([0.0, 0.0], 1.0, y),
            Self::Ring => {
                spans.add_disc([0.0, 0.0], 1.0, y);
                spans.punch_hole(HOLE, y);
            }
            Self::Heart => {
                spans.add_disc(HEART_DISCS[0], HEART_DISC_RADIUS, y);
                spans.add_polygon(HEART, y);
                spans.add_disc(HEART_DISCS[1], HEART_DISC_RADIUS, y);
            }
            Self::Square => spans.add_polygon(SQUARE, y),
            Self::Triangle => spans.add_polygon(TRIANGLE, y),
            Self::Diamond => spans.add_polygon(DIAMOND, y),
            Self::Cross => spans.add_polygon(CROSS, y),
            Self::Star => spans.add_polygon(STAR, y),
        }
        spans
    }
}

/// Disjoint intervals of a line, at most a few.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spans {
    spans: [[f32; 2]; 4],
    count: usize,
}

impl Spans {
    /// The intervals, each from its start to its end.
    pub(crate) fn as_slice(&self) -> &[[f32; 2]] {
        &self.spans[..self.count]
    }

    /// Adds an interval, joined with all that it meets.
    fn add(&mut self, [mut start, mut end]: [f32; 2]) {
        let mut kept = 0;
        for index in 0..self.count {
            let [other_start, other_end] = self.spans[index];
            if start <= other_end && other_start <= end {
                (start, end) = (start.min(other_start), end.max(other_end));
            } else {
                self.spans[kept] = self.spans[index];
                kept += 1;
            }
        }
        // No shape here has more than three intervals in a line.
        if kept < self.spans.len() {
            self.spans[kept] = [start, end];
            self.count = kept + 1;
        }
    }

    fn add_disc(&mut self, [x, centre]: [f32; 2], radius: f32, y: f32) {
        let square = radius * radius - (y - centre) * (y - centre);
        if square > 0.0 {
            let half = square.sqrt();
            self.add([x - half, x + half]);
        }
    }

    /// Takes a disc around the origin out of the only interval.
    fn punch_hole(&mut self, radius: f32, y: f32) {
        let square = radius * radius - y * y;
        if square > 0.0 && self.count == 1 {
            let half = square.sqrt();
            let [start, end] = self.spans[0];
            self.spans[..2].copy_from_slice(&[[start, -half], [half, end]]);
            self.count = 2;
        }
    }

    fn add_polygon(&mut self, corners: Polygon, y: f32) {
        let mut crossings = [0.0f32; 8];
        let mut count = 0;
        for (index, &[x1, y1]) in corners.iter().enumerate() {
            let [x2, y2] = corners[(index + 1) % corners.len()];
            if (y1 <= y) != (y2 <= y) && count < crossings.len() {
                crossings[count] = x1 + (y - y1) * (x2 - x1) / (y2 - y1);
                count += 1;
            }
        }
        let crossings = &mut crossings[..count];
        crossings.sort_unstable_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            self.add([pair[0], pair[1]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fill_their_square_and_stay_within() {
        for &shape in Shape::ALL {
            let (mut width, mut top, mut bottom) = (0.0f32, 1.0f32, -1.0f32);
            for line in 0..400 {
                let y = (line as f32 + 0.5) / 200.0 - 1.0;
                for &[start, end] in shape.spans(y).as_slice() {
                    assert!(start <= end && start >= -1.0 && end <= 1.0, "{shape} {y}");
                    (width, top, bottom) = (width.max(end), top.min(y), bottom.max(y));
                }
            }
            assert!(width > 0.79 && top < -0.8 && bottom > 0.8, "{shape} {width} {top} {bottom}");
        }
    }

    #[test]
    fn holes_notches_and_points() {
        assert_eq!(Shape::Ring.spans(0.0).as_slice(), [[-1.0, -0.5], [0.5, 1.0]]);
        assert_eq!(Shape::Heart.spans(-0.6).as_slice().len(), 2);
        assert_eq!(Shape::Heart.spans(-0.2).as_slice().len(), 1);
        assert_eq!(Shape::Star.spans(0.7).as_slice().len(), 2);
        assert!(Shape::Circle.spans(1.1).as_slice().is_empty());
    }
}
