//! What loading found: parameters without a tensor, tensors without a parameter, and those that do not fit.

use std::fmt;

use super::nearest::Comparisons;

/// A parameter for which the source has no tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTensor {
    /// The key that the source was expected to have.
    pub key: String,
    /// Shape expected, in the file's order.
    pub shape: Vec<usize>,
    /// The most similar key among the unexpected ones.
    pub nearest: Option<String>,
}

/// A tensor that no parameter asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnexpectedTensor {
    /// The key in the source.
    pub key: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// The most similar key among the missing ones.
    pub nearest: Option<String>,
}

/// A tensor of another shape than its parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MisShapedTensor {
    /// The key in the source.
    pub key: String,
    /// Shape expected, in the file's order.
    pub expected: Vec<usize>,
    /// Shape found.
    pub found: Vec<usize>,
}

/// The outcome of loading a source into a module.
///
/// `{}` is one line, `{:#}` a list; both are cut after a few entries of each kind and count the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters loaded.
    pub loaded: usize,
    /// Parameters without a tensor.
    pub missing: Vec<MissingTensor>,
    /// Tensors without a parameter.
    pub unexpected: Vec<UnexpectedTensor>,
    /// Tensors of another shape than their parameter.
    pub mis_shaped: Vec<MisShapedTensor>,
}

impl LoadReport {
    /// Whether every parameter has its tensor. Unexpected tensors do not matter.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mis_shaped.is_empty()
    }

    /// Fills in the nearest names, for as many entries of each kind as can be afforded.
    pub(crate) fn suggest(&mut self) {
        let Self { missing, unexpected, .. } = self;
        let mut comparisons = Comparisons::of_half_a_report();
        for entry in missing.iter_mut() {
            let candidates = unexpected.iter().map(|entry| entry.key.as_str());
            entry.nearest = comparisons.nearest(&entry.key, candidates).map(Into::into);
        }
        let mut comparisons = Comparisons::of_half_a_report();
        for entry in unexpected.iter_mut() {
            let candidates = missing.iter().map(|entry| entry.key.as_str());
            entry.nearest = comparisons.nearest(&entry.key, candidates).map(Into::into);
        }
    }
}

struct Nearest<'a>(&'a Option<String>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, ", nearest is `{name}`"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for MissingTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {:?}{}", self.key, self.shape, Nearest(&self.nearest))
    }
}

impl fmt::Display for UnexpectedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {:?}{}", self.key, self.shape, Nearest(&self.nearest))
    }
}

impl fmt::Display for MisShapedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` expected {:?}, found {:?}", self.key, self.expected, self.found)
    }
}

/// One kind of entry: in one line or as a list.
fn write_kind<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    entries: &[T],
) -> fmt::Result {
    if entries.is_empty() {
        return Ok(());
    }
    let (shown, before, between) =
        if f.alternate() { (20, "\n    ", "\n    ") } else { (3, " ", "; ") };
    let introduction = if f.alternate() { "\n  " } else { "; " };
    write!(f, "{introduction}{} {title}:", entries.len())?;
    for (position, entry) in entries.iter().take(shown).enumerate() {
        write!(f, "{}{entry}", if position == 0 { before } else { between })?;
    }
    match entries.len().saturating_sub(shown) {
        0 => Ok(()),
        rest => write!(f, "{between}and {rest} more"),
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parameters loaded", self.loaded)?;
        write_kind(f, "missing", &self.missing)?;
        write_kind(f, "of another shape", &self.mis_shaped)?;
        write_kind(f, "unexpected", &self.unexpected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(missing: usize) -> LoadReport {
        let mut report = LoadReport {
            loaded: 7,
            missing: (0..missing)
                .map(|i| MissingTensor {
                    key: format!("down_blocks.{i}.conv.weight"),
                    shape: vec![4, 3],
                    nearest: None,
                })
                .collect(),
            unexpected: vec![
                UnexpectedTensor {
                    key: "down_blocks.0.convs.weight".into(),
                    shape: vec![4, 3],
                    nearest: None,
                },
                UnexpectedTensor { key: "model_ema.decay".into(), shape: vec![], nearest: None },
            ],
            mis_shaped: vec![MisShapedTensor {
                key: "conv_in.weight".into(),
                expected: vec![8, 4, 3, 3],
                found: vec![8, 9, 3, 3],
            }],
        };
        report.suggest();
        report
    }

    #[test]
    fn one_line_says_what_is_wrong_and_what_was_meant() {
        assert_eq!(
            report(1).to_string(),
            "7 parameters loaded; 1 missing: `down_blocks.0.conv.weight` [4, 3], nearest is `down_blocks.0.convs.weight`; \
             1 of another shape: `conv_in.weight` expected [8, 4, 3, 3], found [8, 9, 3, 3]; \
             2 unexpected: `down_blocks.0.convs.weight` [4, 3], nearest is `down_blocks.0.conv.weight`; `model_ema.decay` []"
        );
    }

    #[test]
    fn long_reports_are_cut_and_counted() {
        let line = report(300).to_string();
        assert!(
            line.contains("300 missing:") && line.contains("; and 297 more; 1 of another shape"),
            "{line}"
        );
        assert!(line.len() < 800, "{line}");
        let list = format!("{:#}", report(300));
        assert!(list.contains("\n    and 280 more\n  1 of another shape:\n"), "{list}");
        assert!(list.lines().count() < 30, "{list}");
    }

    #[test]
    fn only_missing_and_mis_shaped_matter() {
        let mut only_unexpected = report(0);
        assert!(!only_unexpected.is_complete());
        only_unexpected.mis_shaped.clear();
        assert!(only_unexpected.is_complete());
    }

    /// So many missing and unexpected keys that differ a little.
    fn renamed(count: usize, key: impl Fn(usize, &str) -> String) -> LoadReport {
        LoadReport {
            missing: (0..count)
                .map(|i| MissingTensor { key: key(i, "to_q"), shape: vec![], nearest: None })
                .collect(),
            unexpected: (0..count)
                .map(|i| UnexpectedTensor { key: key(i, "query"), shape: vec![], nearest: None })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_first_entries_have_suggestions_however_many_there_are() {
        let key = |i, name: &str| format!("down_blocks.{i}.attentions.0.transformer_blocks.{name}");
        // As many as are shown in one line, and in a list.
        for (count, first) in [(3000, 3), (300, 20)] {
            let mut report = renamed(count, key);
            report.suggest();
            for i in 0..first {
                assert_eq!(report.missing[i].nearest, Some(key(i, "query")));
                assert_eq!(report.unexpected[i].nearest, Some(key(i, "to_q")));
            }
            assert!(report.missing[count - 1].nearest.is_none());
        }
    }

    #[test]
    fn names_made_to_cost_time_cost_little() {
        let mut report = renamed(20_000, |i, name| {
            let (x, y) = ("x".repeat(120), "y".repeat(120));
            if name == "to_q" { format!("{i}{x}{y}{i}") } else { format!("{y}{i}{x}") }
        });
        let start = std::time::Instant::now();
        report.suggest();
        // A tenth of it, without debugging and with a processor of its own.
        assert!(start.elapsed().as_secs_f64() < 2.0, "{:?}", start.elapsed());
    }
}
