//! The curve of a run's loss.

mod canvas;

use std::{ops::Range, path::Path};

use image::{RgbImage, imageops};
use plotters::{coord::combinators::BindKeyPoints, prelude::*};

use crate::TrainError;
use canvas::Canvas;

/// Entries that the smooth line is a mean of.
const WINDOW: usize = 20;

/// The picture's size.
const SIZE: (u32, u32) = (960, 480);
/// It is drawn larger by this and made smaller then, for smooth lines.
const SCALE: u32 = 2;

/// Draws losses over steps, on a logarithmic scale, each and as a moving mean.
pub(super) fn draw(losses: &[(u64, f32)], path: &Path) -> Result<(), TrainError> {
    let points: Vec<(f64, f64)> = losses
        .iter()
        .filter(|(_, loss)| *loss > 0.0)
        .map(|(step, loss)| (*step as f64, f64::from(*loss)))
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let lowest = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let steps = first.0..last.0.max(first.0 + 1.0);
    let mut image = RgbImage::new(SIZE.0 * SCALE, SIZE.1 * SCALE);
    plot(&mut image, &points, steps, lowest * 0.9..highest * 1.1)
        .map_err(|error| TrainError::part("loss curve", error.to_string()))?;
    let image = imageops::resize(&image, SIZE.0, SIZE.1, imageops::FilterType::Triangle);
    sd_core::save_png(&image, "loss over steps", path)?;
    Ok(())
}

type Failed = DrawingAreaErrorKind<std::convert::Infallible>;

fn plot(
    image: &mut RgbImage,
    points: &[(f64, f64)],
    steps: Range<f64>,
    losses: Range<f64>,
) -> Result<(), Failed> {
    let root = Canvas::new(image).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(12 * SCALE)
        .margin_right(32 * SCALE)
        .x_label_area_size(48 * SCALE)
        .y_label_area_size(80 * SCALE)
        .build_cartesian_2d(steps, losses.clone().log_scale().with_key_points(marks(losses)))?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("step").y_desc("loss").x_labels(10).y_labels(10).set_all_tick_mark_size(5 * SCALE);
    mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.15)).axis_style(BLACK.mix(0.6));
    mesh.x_label_formatter(&|step| format!("{step:.0}")).y_label_formatter(&|loss| figure(*loss));
    mesh.draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.mix(0.4)))?;
    let means = points.windows(WINDOW.min(points.len())).map(|window| {
        let sum: f64 = window.iter().map(|point| point.1).sum();
        (window.last().map_or(0.0, |point| point.0), sum / window.len() as f64)
    });
    chart.draw_series(LineSeries::new(means, BLUE.stroke_width(2 * SCALE)))?;
    root.present()
}

/// Round numbers for a logarithmic axis.
fn marks(losses: Range<f64>) -> Vec<f64> {
    let decades = losses.start.log10().floor() as i32..=losses.end.log10().floor() as i32;
    let steps: [Vec<f64>; 3] = [
        vec![1.0],
        vec![1.0, 2.0, 5.0],
        (0..45).map(|tenths| 1.0 + f64::from(tenths) / 5.0).collect(),
    ];
    let all = steps.iter().map(|steps| -> Vec<f64> {
        let marks = decades
            .clone()
            .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        marks.filter(|mark| losses.contains(mark)).collect()
    });
    let mut enough = all.skip_while(|marks| marks.len() < 4);
    let few =
        || (0..5).map(|part| losses.start + (losses.end - losses.start) * f64::from(part) / 4.0);
    enough.next().filter(|marks| marks.len() <= 12).unwrap_or_else(|| few().collect())
}

/// A number with two digits that say something.
fn figure(value: f64) -> String {
    match value.abs() {
        small if small < 1e-3 => format!("{value:.1e}"),
        size => {
            let digits = (1.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{value:.digits$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loss.png");
        let losses: Vec<(u64, f32)> = (1..200).map(|step| (step, 1.0 / step as f32)).collect();
        draw(&losses, &path).unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), SIZE);
        // A curve of full blue, from the upper left to the lower right.
        let blue: Vec<(u32, u32)> = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0 == [0, 0, 255])
            .map(|(x, y, _)| (x, y))
            .collect();
        let (first, last) = (blue.iter().min().unwrap(), blue.iter().max().unwrap());
        assert!(last.0 > first.0 + 700 && last.1 > first.1 + 200, "{first:?} {last:?}");
        // Text beside it and below it.
        let dark = |columns: Range<u32>, rows: Range<u32>| {
            let pixels = columns.flat_map(|x| rows.clone().map(move |y| (x, y)));
            pixels.filter(|(x, y)| picture.get_pixel(*x, *y).0[0] < 128).count()
        };
        assert!(dark(12..86, 20..400) > 100 && dark(100..900, 440..470) > 100);
        // Nothing to draw is no fault, and neither is a single step.
        draw(&[], &path).unwrap();
        draw(&[(1, 0.5)], &path).unwrap();
    }

    #[test]
    fn marks_are_round_numbers() {
        let marks_of =
            |losses: Range<f64>| -> Vec<String> { marks(losses).into_iter().map(figure).collect() };
        assert_eq!(marks_of(0.04..3.0), ["0.050", "0.10", "0.20", "0.50", "1.0", "2.0"]);
        assert_eq!(marks_of(0.0005..9.0), ["0.0010", "0.010", "0.10", "1.0"]);
        assert_eq!(marks(1.0..1.04).len(), 5);
    }

    #[test]
    fn figures_are_short() {
        let cases = [(12.3, "12"), (1.26, "1.3"), (0.0512, "0.051"), (2e-5, "2.0e-5")];
        for (value, expected) in cases {
            assert_eq!(figure(value), expected);
        }
    }
}
