//! What is done with a draw of `[channels, height, width]`.

/// From this mean cosine on, two noises count as parallel.
const PARALLEL: f64 = 0.9995;
/// The sine between two columns up to which f32 cannot tell their direction.
const ON_ONE_LINE: f64 = 1e-6;

/// Turns noise towards other noise of the same shape along a great circle (K. Shoemake, "Animating rotation with
/// quaternion curves", 1985), for each column of the height by itself.
pub(super) fn turn_towards(from: &[f32], to: &[f32], shape: [usize; 3], strength: f32) -> Vec<f32> {
    let [channels, height, width] = shape;
    let share = f64::from(strength);
    let column = |index: usize| {
        let start = index / width * height * width + index % width;
        (0..height).map(move |row| start + row * width)
    };
    let cosines: Vec<f64> =
        (0..channels * width).map(|index| cosine(from, to, column(index))).collect();
    if cosines.iter().sum::<f64>() / cosines.len() as f64 > PARALLEL {
        // The weights are swapped in the web UI too.
        return mix(from, to, [share, 1.0 - share]);
    }
    let mut turned = mix(from, to, [1.0 - share, share]);
    for (index, cosine) in cosines.into_iter().enumerate() {
        let angle = libm::acos(cosine.clamp(-1.0, 1.0));
        let sine = libm::sin(angle);
        // Two columns on one line, of height 1 for instance, have no circle between them and stay mixed.
        if sine > ON_ONE_LINE {
            let weights = [1.0 - share, share].map(|part| libm::sin(part * angle) / sine);
            column(index).for_each(|at| turned[at] = weigh(from[at], to[at], weights));
        }
    }
    turned
}

fn cosine(from: &[f32], to: &[f32], places: impl Iterator<Item = usize>) -> f64 {
    let (mut product, mut squares) = (0.0, [0.0, 0.0]);
    for at in places {
        let (from, to) = (f64::from(from[at]), f64::from(to[at]));
        product += from * to;
        squares[0] += from * from;
        squares[1] += to * to;
    }
    product / (squares[0] * squares[1]).sqrt()
}

fn mix(from: &[f32], to: &[f32], weights: [f64; 2]) -> Vec<f32> {
    from.iter().zip(to).map(|(&from, &to)| weigh(from, to, weights)).collect()
}

fn weigh(from: f32, to: f32, weights: [f64; 2]) -> f32 {
    (f64::from(from) * weights[0] + f64::from(to) * weights[1]) as f32
}

/// Lays `noise` into the middle of `canvas`, of as many channels; what does not fit is cut off on both sides.
pub(super) fn paste_centred(
    canvas: &mut [f32],
    size: [usize; 3],
    noise: &[f32],
    noise_size: [usize; 3],
) {
    let rows = overlap(size[1], noise_size[1]);
    let columns = overlap(size[2], noise_size[2]);
    for channel in 0..size[0] {
        for row in 0..rows.length {
            let to = (channel * size[1] + rows.to + row) * size[2] + columns.to;
            let from = (channel * noise_size[1] + rows.from + row) * noise_size[2] + columns.from;
            canvas[to..to + columns.length].copy_from_slice(&noise[from..from + columns.length]);
        }
    }
}

/// Where two lengths lie on each other when they are centred.
struct Overlap {
    to: usize,
    from: usize,
    length: usize,
}

/// Of an odd difference, the smaller half comes first on a larger canvas and the larger half on a smaller one, where one
/// more is cut off at the end: Python's `//` rounds down.
fn overlap(canvas: usize, noise: usize) -> Overlap {
    if canvas >= noise {
        Overlap { to: (canvas - noise) / 2, from: 0, length: noise }
    } else {
        let cut = (noise - canvas).div_ceil(2);
        Overlap { to: 0, from: cut, length: noise - 2 * cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_lies_in_the_middle() {
        let paste = |canvas: usize, noise: usize| {
            let mut values = vec![0.0; canvas];
            let drawn: Vec<f32> = (1..=noise).map(|value| value as f32).collect();
            paste_centred(&mut values, [1, 1, canvas], &drawn, [1, 1, noise]);
            values
        };
        assert_eq!(paste(5, 2), [0.0, 1.0, 2.0, 0.0, 0.0]);
        assert_eq!(paste(2, 6), [3.0, 4.0]);
        // -1 // 2 is -1: one is cut off on each side, and what was under it stays.
        assert_eq!(paste(3, 4), [2.0, 3.0, 0.0]);
        assert_eq!(paste(1, 2), [0.0]);
    }

    #[test]
    fn turning_keeps_the_length() {
        let (from, to) = ([1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 3.0]);
        let turned = turn_towards(&from, &to, [1, 4, 1], 0.25);
        assert!(turned.iter().all(|value| value.is_finite()));
        assert_eq!(turn_towards(&from, &to, [1, 4, 1], 0.0), from);
        // One row: columns are parallel or opposite.
        let turned = turn_towards(&[1.0, 1.0], &[3.0, -3.0], [1, 1, 2], 0.5);
        assert_eq!(turned, [2.0, -1.0]);
    }
}
