//! The tables of `docs/schedulers.md`: written by
//!
//! ```sh
//! SD_UPDATE_DOCS=1 cargo test -p sd-schedulers --test report
//! ```
//!
//! and, without that variable, held against what is there.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fmt::Write, fs, path::PathBuf};

use common::{
    convergence::{FEWER_STEPS, STEPS, Subject, deterministic, slope, stochastic},
    trajectories::{FILES, check},
};
use sd_schedulers::{Sampler, SchedulerKind};

/// The text between two markers of the document, which are kept.
fn replaced(document: &str, name: &str, text: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = document.split_once(&open).unwrap_or_else(|| panic!("no {open}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("no {close}"));
    format!("{before}{open}\n{text}\n{close}{after}")
}

fn names() -> String {
    let mut text = String::from("| name | short | class | k-diffusion |\n|---|---|---|---|\n");
    for sampler in Sampler::ALL {
        let kind = SchedulerKind::new(*sampler);
        let function = kind.k_diffusion_name().map_or(String::new(), |name| format!("`{name}`"));
        let class = kind.class_name();
        writeln!(text, "| {} | `{kind}` | `{class}` | {function} |", kind.title()).unwrap();
    }
    text
}

/// A coarse bound, so that the last digits of another machine do not show.
fn bound(error: f64) -> String {
    let bounds = [1.2e-6, 3.2e-6, 1e-5];
    let bound = bounds.iter().find(|bound| error <= **bound);
    bound.map_or(format!("{error:.0e}"), |bound| format!("{bound:e}"))
}

fn agreement() -> String {
    let mut text = String::from(
        "| class | reference | cases | predictions | spacings | worst | held to the reference's own error |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (name, reference) in FILES {
        let table = check(name);
        let joined = |names: &[String]| match names.join(", ") {
            none if none.is_empty() => "its own".to_string(),
            names => names,
        };
        let (class, cases, worst, loose) =
            (&table.class, table.cases, bound(table.worst), table.loose);
        let (predictions, spacings) = (joined(&table.predictions), joined(&table.spacings));
        writeln!(
            text,
            "| `{class}` | {reference} | {cases} | {predictions} | {spacings} | {worst} | {loose} |"
        )
        .unwrap();
    }
    text
}

fn orders(
    subjects: Vec<Subject>,
    steps: &[usize],
    error: impl Fn(&Subject, usize) -> f64,
) -> String {
    let (first, last) = (steps[0], steps[steps.len() - 1]);
    let mut text = format!(
        "| solver | order asserted | order measured | error at {first} steps | at {last} |\n|---|---|---|---|---|\n"
    );
    for subject in subjects {
        let errors: Vec<f64> = steps.iter().map(|&steps| error(&subject, steps)).collect();
        let (slope, most, least) = (slope(&errors), errors[0], errors[errors.len() - 1]);
        writeln!(
            text,
            "| {} | {} | {slope:.1} | {most:.0e} | {least:.0e} |",
            subject.title, subject.order
        )
        .unwrap();
    }
    text
}

#[test]
fn the_document_says_what_is_measured() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schedulers.md");
    let document = fs::read_to_string(&path).unwrap();
    let sections = [
        ("names", names()),
        ("agreement", agreement()),
        ("convergence", orders(deterministic(), &STEPS, Subject::error)),
        ("weak-convergence", orders(stochastic(), &FEWER_STEPS, Subject::weak_error)),
    ];
    let fresh = sections
        .into_iter()
        .fold(document.clone(), |document, (name, text)| replaced(&document, name, &text));
    if std::env::var_os("SD_UPDATE_DOCS").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert!(
            document == fresh,
            "docs/schedulers.md is stale: SD_UPDATE_DOCS=1 cargo test -p sd-schedulers --test report"
        );
    }
}
