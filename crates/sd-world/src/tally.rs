//! Verdicts, added up.

use std::fmt;

use crate::{Column, Verdict};

/// How many pictures are right, and of how many, in each [`Column`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    counts: [(usize, usize); Column::ALL.len()],
}

impl Tally {
    /// Adds a picture's verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        for (&column, (right, asked)) in Column::ALL.iter().zip(&mut self.counts) {
            if let Some(is_right) = verdict.get(column) {
                *asked += 1;
                *right += usize::from(is_right);
            }
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        for ((right, asked), (more_right, more_asked)) in self.counts.iter_mut().zip(other.counts) {
            *right += more_right;
            *asked += more_asked;
        }
    }

    /// How many pictures are right, and how many were asked for this.
    pub fn count(&self, column: Column) -> (usize, usize) {
        self.counts[column as usize]
    }

    /// The share that is right, from 0 to 1, if any was asked for this.
    pub fn share(&self, column: Column) -> Option<f64> {
        let (right, asked) = self.count(column);
        (asked > 0).then(|| right as f64 / asked as f64)
    }
}

impl<'a> FromIterator<&'a Verdict> for Tally {
    fn from_iter<I: IntoIterator<Item = &'a Verdict>>(verdicts: I) -> Self {
        let mut tally = Self::default();
        verdicts.into_iter().for_each(|verdict| tally.add(verdict));
        tally
    }
}

/// A Markdown table with a row for each column that was asked for.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:10} | right | asked |       % |", "")?;
        write!(f, "|:-----------|------:|------:|--------:|")?;
        for &column in Column::ALL {
            if let Some(share) = self.share(column) {
                let (right, asked) = self.count(column);
                write!(f, "\n| {column:10} | {right:5} | {asked:5} | {:6.2}% |", 100.0 * share)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Verdict = Verdict {
        colour: true,
        shape: true,
        count: true,
        binding: None,
        background: Some(true),
        texture: None,
        relation: None,
        position: None,
        size: None,
    };

    #[test]
    fn a_table() {
        let wrong = Verdict { shape: false, size: Some(true), ..RIGHT };
        let mut tally: Tally = [RIGHT, wrong].iter().collect();
        assert_eq!(tally.count(Column::Shape), (1, 2));
        assert_eq!(tally.share(Column::All), Some(0.5));
        assert_eq!(tally.share(Column::Relation), None);
        let table = tally.to_string();
        assert!(table.contains("| shape      |     1 |     2 |  50.00% |"), "{table}");
        assert!(!table.contains("relation"));
        tally.merge(&tally.clone());
        assert_eq!(tally.count(Column::Size), (2, 2));
    }
}
