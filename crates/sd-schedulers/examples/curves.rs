//! Draws the two pictures of `docs/schedulers.md`: the sigmas of all schedules, and the error of all deterministic solvers
//! over the evaluations of the model that they cost.
//!
//! ```sh
//! cargo run --release -p sd-schedulers --example curves -- [FOLDER]
//! ```

#![allow(clippy::unwrap_used)] // of the tests' module

#[path = "../../sd-train/src/run/curve/canvas.rs"]
mod canvas;
#[path = "../tests/common/mod.rs"]
mod common;

use std::{error::Error, fs::File, io::BufWriter, ops::Range, path::PathBuf};

use canvas::Canvas;
use common::convergence::deterministic;
use image::{
    RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
    imageops,
};
use plotters::{prelude::*, style::text_anchor};
use sd_schedulers::{PlanRequest, SchedulerConfig, SchedulerKind, SigmaSchedule, TimestepSpacing};

const SIZE: (u32, u32) = (960, 600);
/// Pictures are drawn larger by this and made smaller then, for smooth lines.
const SCALE: u32 = 2;
const LEGEND: u32 = 240;

type Failed = DrawingAreaErrorKind<std::convert::Infallible>;

/// A line with its name.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A picture of curves over logarithmic heights.
struct Chart<'a> {
    x: &'a str,
    y: &'a str,
    range: Range<f64>,
    heights: Range<f64>,
    is_logarithmic: bool,
    curves: Vec<Curve>,
}

fn sigma_curves() -> Result<Chart<'static>, Box<dyn Error>> {
    let model = SchedulerConfig::new("EulerDiscreteScheduler")
        .with("beta_schedule", "scaled_linear")
        .with("beta_start", 0.00085)
        .with("beta_end", 0.012);
    let curve = |name: String, config: &SchedulerConfig, kind: SchedulerKind| {
        let plan = kind.with_config_of(config)?.plan(&PlanRequest::new(20))?;
        let sigmas = plan.sigmas().iter().take(20).enumerate();
        let points = sigmas.map(|(step, sigma)| (step as f64, *sigma)).collect();
        Ok::<_, Box<dyn Error>>(Curve { name, points })
    };
    let mut curves = Vec::new();
    for spacing in TimestepSpacing::ALL {
        let config = model.clone().with("timestep_spacing", spacing.name());
        curves.push(curve(format!("{spacing} timesteps"), &config, SchedulerKind::Euler)?);
    }
    for schedule in SigmaSchedule::ALL {
        if *schedule != SigmaSchedule::AlignYourStepsVideo {
            let kind = SchedulerKind::Euler.with_schedule(*schedule);
            curves.push(curve(schedule.title().to_string(), &model, kind)?);
        }
    }
    Ok(Chart {
        x: "step of 20",
        y: "sigma",
        range: 0.0..19.0,
        heights: 0.025..20.0,
        is_logarithmic: false,
        curves,
    })
}

fn solver_curves() -> Chart<'static> {
    let counts = [6, 12, 24, 48, 96, 192];
    let curves = deterministic().into_iter().map(|subject| Curve {
        name: subject.title.to_string(),
        points: counts
            .iter()
            .map(|&steps| ((steps * subject.evaluations) as f64, subject.error(steps)))
            .collect(),
    });
    Chart {
        x: "evaluations of the model",
        y: "error in standard deviations of the data",
        range: 6.0..384.0,
        heights: 1e-8..3.0,
        is_logarithmic: true,
        curves: curves.collect(),
    }
}

fn colour(index: usize, count: usize) -> HSLColor {
    // neighbours in the list apart in hue and lightness
    let lightness = [0.32, 0.45, 0.58][index % 3];
    HSLColor(index as f64 / count as f64, 0.85, lightness)
}

fn draw(chart: &Chart<'_>, image: &mut RgbImage) -> Result<(), Failed> {
    let root = Canvas::new(image).into_drawing_area();
    let (left, right) = root.split_horizontally((SIZE.0 - LEGEND) * SCALE);
    let mut builder = ChartBuilder::on(&left);
    builder.margin(12 * SCALE).x_label_area_size(48 * SCALE).y_label_area_size(88 * SCALE);
    let heights = chart.heights.clone().log_scale();
    let count = chart.curves.len();
    // The two kinds of axes are two types.
    macro_rules! plot {
        ($range:expr, $format:expr) => {{
            let mut area = builder.build_cartesian_2d($range, heights)?;
            let mut mesh = area.configure_mesh();
            mesh.x_desc(chart.x).y_desc(chart.y).x_labels(6).y_labels(10);
            mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.12));
            mesh.x_label_formatter(&$format).y_label_formatter(&|y| format!("{y:.0e}"));
            mesh.draw()?;
            for (index, curve) in chart.curves.iter().enumerate() {
                let style = colour(index, count).stroke_width(2 * SCALE);
                area.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
            }
        }};
    }
    match chart.is_logarithmic {
        true => plot!(chart.range.clone().log_scale(), |x: &f64| format!("{x:.0}")),
        false => plot!(chart.range.clone(), |x: &f64| format!("{x:.0}")),
    }
    let line = (SIZE.1 * SCALE - 24 * SCALE) as i32 / count.max(1) as i32;
    let line = line.min(18 * SCALE as i32);
    for (index, curve) in chart.curves.iter().enumerate() {
        let y = 12 * SCALE as i32 + index as i32 * line;
        let style = colour(index, count).stroke_width(3 * SCALE);
        let middle = y + line / 2;
        let ends = [(0, middle), (14 * SCALE as i32, middle)];
        right.draw(&PathElement::new(ends, style))?;
        let text = ("sans-serif", 14 * SCALE).into_font().color(&BLACK);
        let text =
            text.pos(text_anchor::Pos::new(text_anchor::HPos::Left, text_anchor::VPos::Center));
        right.draw(&Text::new(curve.name.as_str(), (20 * SCALE as i32, middle), text))?;
    }
    root.present()
}

fn save(chart: &Chart<'_>, path: PathBuf) -> Result<(), Box<dyn Error>> {
    let mut image = RgbImage::new(SIZE.0 * SCALE, SIZE.1 * SCALE);
    draw(chart, &mut image)?;
    let image = imageops::resize(&image, SIZE.0, SIZE.1, imageops::FilterType::Triangle);
    let file = BufWriter::new(File::create(&path)?);
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
    image.write_with_encoder(encoder)?;
    println!("{}", path.display());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let assets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let folder = std::env::args_os().nth(1).map_or(assets, PathBuf::from);
    save(&sigma_curves()?, folder.join("sigma_schedules.png"))?;
    save(&solver_curves(), folder.join("solver_errors.png"))
}
