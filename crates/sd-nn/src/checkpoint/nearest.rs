//! The most similar of some names, offered in messages as what was meant.

/// Similarity below which a name is not offered, from 0 (nothing in common) to 1 (equal).
const MIN_SIMILARITY: f64 = 0.6;

/// Longest name that is compared, in bytes.
const MAX_COMPARED_LEN: usize = 256;

/// What one message may spend on comparing names, in pairs of characters. A pair takes two to four nanoseconds.
const MAX_PAIRS: usize = 40_000_000;

/// What looking at a name takes besides, in pairs of characters.
const PAIRS_OF_A_LOOK: usize = 32;

/// Names being compared: the sum of the products of their lengths is bounded, since names come from strangers.
#[derive(Debug)]
pub(crate) struct Comparisons {
    pairs_left: usize,
}

impl Comparisons {
    /// For half of the names in a message.
    pub(crate) fn of_half_a_report() -> Self {
        Self { pairs_left: MAX_PAIRS / 2 }
    }

    /// The most similar of the candidates, if one is similar enough to be what was meant.
    ///
    /// `None` when not all of them could be looked at: the nearest might be among the rest. Nor is there one for any name
    /// that is asked for afterwards.
    pub(crate) fn nearest<'a>(
        &mut self,
        name: &str,
        candidates: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if self.pairs_left == 0 || name.len() > MAX_COMPARED_LEN {
            return None;
        }
        let len = name.chars().count();
        let mut best = None;
        let mut best_similarity = MIN_SIMILARITY;
        for candidate in candidates {
            self.spend(PAIRS_OF_A_LOOK)?;
            if candidate.len() > MAX_COMPARED_LEN {
                continue;
            }
            let candidate_len = candidate.chars().count();
            let (short, long) = (len.min(candidate_len), len.max(candidate_len));
            // Every character that the longer one has more is a difference; the allowance is for rounding.
            if (short as f64 + 1e-6) < best_similarity * long as f64 {
                continue;
            }
            let (left, right) = without_common_ends(name, candidate);
            self.spend(left.len() * right.len())?;
            let distance = strsim::levenshtein(left, right);
            let similarity = 1.0 - distance as f64 / long.max(1) as f64;
            if similarity >= best_similarity {
                (best, best_similarity) = (Some(candidate), similarity);
            }
        }
        best
    }

    fn spend(&mut self, pairs: usize) -> Option<()> {
        let left = self.pairs_left.checked_sub(pairs);
        self.pairs_left = left.unwrap_or(0);
        left.map(drop)
    }
}

/// What is left of two names when what they begin and end with alike is taken off, which does not change their distance.
fn without_common_ends<'a>(left: &'a str, right: &'a str) -> (&'a str, &'a str) {
    fn alike(left: impl Iterator<Item = char>, right: impl Iterator<Item = char>) -> usize {
        left.zip(right).take_while(|(left, right)| left == right).map(|(c, _)| c.len_utf8()).sum()
    }
    let start = alike(left.chars(), right.chars());
    let (left, right) = (&left[start..], &right[start..]);
    let end = alike(left.chars().rev(), right.chars().rev());
    (&left[..left.len() - end], &right[..right.len() - end])
}

/// The most similar of some names, if one is similar enough to be what was meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    Comparisons { pairs_left: MAX_PAIRS }.nearest(name, candidates)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_compared_wholly_has_no_nearest() {
        let names = ["conv_in.weight", "conv_out.weight"];
        // `m` and `n`; `im` and `out`.
        let once = 2 * PAIRS_OF_A_LOOK + 1 + 6;
        let mut comparisons = Comparisons { pairs_left: 2 * once - 1 };
        assert_eq!(comparisons.nearest("conv_im.weight", names.into_iter()), Some(names[0]));
        assert_eq!(comparisons.pairs_left, once - 1);
        assert_eq!(comparisons.nearest("conv_im.weight", names.into_iter()), None);
        assert_eq!(comparisons.nearest("x", ["x"].into_iter()), None);
    }

    #[test]
    fn names_of_any_length_are_looked_at() {
        let long = "x".repeat(MAX_COMPARED_LEN + 1);
        assert_eq!(nearest(&long, [long.as_str()].into_iter()), None);
        assert_eq!(nearest("x", [long.as_str(), "", "x"].into_iter()), Some("x"));
        assert_eq!(nearest("", ["", "x"].into_iter()), Some(""));
    }

    proptest! {
        #[test]
        fn nothing_nearer_is_passed_over(name in "[abö]{0,8}", others in prop::collection::vec("[abö]{0,8}", 0..8)) {
            let similarity = |other: &str| strsim::normalized_levenshtein(&name, other);
            let expected = others.iter().map(|other| similarity(other)).filter(|&found| found >= MIN_SIMILARITY).reduce(f64::max);
            let found = nearest(&name, others.iter().map(String::as_str)).map(similarity);
            prop_assert_eq!(found, expected);
        }
    }
}
