//! The curve of a run's loss.

use std::path::Path;

use plotters::prelude::*;

use crate::TrainError;

/// Entries that the smooth line is a mean of.
const WINDOW: usize = 20;

/// Draws losses over steps, on a logarithmic scale, each and as a moving mean. As SVG: its text needs no font at hand.
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
    let mut text = String::new();
    plot(&mut text, &points, steps, lowest * 0.9..highest * 1.1)
        .map_err(|error| TrainError::part("loss curve", error))?;
    sd_core::write_atomically(path, text.as_bytes())?;
    Ok(())
}

fn plot(
    text: &mut String,
    points: &[(f64, f64)],
    steps: std::ops::Range<f64>,
    losses: std::ops::Range<f64>,
) -> Result<(), String> {
    let root = SVGBackend::with_string(text, (900, 420)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(steps, losses.log_scale())
        .map_err(|error| failed(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("step").y_desc("loss").light_line_style(WHITE);
    mesh.draw().map_err(|error| failed(&error))?;
    let faint = BLUE.mix(0.25);
    chart
        .draw_series(LineSeries::new(points.iter().copied(), faint))
        .map_err(|error| failed(&error))?;
    let means = points.windows(WINDOW.min(points.len())).map(|window| {
        let sum: f64 = window.iter().map(|point| point.1).sum();
        (window.last().map_or(0.0, |point| point.0), sum / window.len() as f64)
    });
    chart
        .draw_series(LineSeries::new(means, BLUE.stroke_width(2)))
        .map_err(|error| failed(&error))?;
    root.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loss.svg");
        let losses: Vec<(u64, f32)> = (1..200).map(|step| (step, 1.0 / step as f32)).collect();
        draw(&losses, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("<svg") && text.matches("<polyline").count() >= 2, "{text}");
        // Nothing to draw is no fault, and neither is a single step.
        draw(&[], &path).unwrap();
        draw(&[(1, 0.5)], &path).unwrap();
    }
}
