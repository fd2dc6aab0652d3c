//! What a run of the suite found.

use core::fmt;

use super::Layout;

/// One check that did not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which check.
    pub name: String,
    /// How its inputs lay in memory.
    pub layout: Layout,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.name, self.layout, self.message)
    }
}

/// The outcome of a run.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Report {
    /// Number of checks that were run.
    pub checks: usize,
    /// Those that did not hold.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Panics when a check did not hold, or none was run.
    ///
    /// # Panics
    /// With the list of failures.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.checks > 0 && self.failures.is_empty(), "{self}");
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.checks += other.checks;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 25;
        write!(f, "{} of {} checks failed", self.failures.len(), self.checks)?;
        for failure in self.failures.iter().take(SHOWN) {
            write!(f, "\n  {failure}")?;
        }
        match self.failures.len().checked_sub(SHOWN) {
            Some(rest @ 1..) => write!(f, "\n  and {rest} more"),
            _ => Ok(()),
        }
    }
}
