//! Attention.

use core::fmt;

use super::super::{
    Array,
    make::Maker,
    reference::{self, AttentionValues},
    suite::Suite,
};
use crate::{AttentionMask, AttentionOptions, DiffusionBackend, Heads, default, ops};

/// What the queries may look at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mask {
    None,
    Causal,
    /// Whether the mask differs between samples, heads and queries.
    Additive([bool; 3]),
}

#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    head_dim: usize,
    /// Queries, keys and values are columns of one projection with other columns around them.
    fused: bool,
    mask: Mask,
    scale: Option<f64>,
    /// Standard deviation of queries and keys.
    deviation: f64,
    /// Elements of the score matrix held at once by the default body, called directly.
    chunk: Option<usize>,
}

impl Case {
    const PLAIN: Self = Self {
        batch: 2,
        queries: 5,
        keys: 5,
        heads: 2,
        head_dim: 8,
        fused: false,
        mask: Mask::None,
        scale: None,
        deviation: 1.0,
        chunk: None,
    };
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, queries, keys, heads, head_dim, mask, deviation, .. } = self;
        write!(f, "attention {batch}×{heads}×{queries}×{head_dim} on {keys} keys, {mask:?}")?;
        write!(f, ", deviation {deviation}")?;
        if self.fused {
            f.write_str(", fused projection")?;
        }
        if let Some(scale) = self.scale {
            write!(f, ", scale {scale}")?;
        }
        match self.chunk {
            Some(chunk) => write!(f, ", default body in chunks of {chunk}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    for case in shapes().into_iter().chain(masks()).chain(scores()).chain(chunks()) {
        check(suite, case);
    }
    if suite.is_full() {
        let plain = Case::PLAIN;
        check(suite, Case { queries: 256, keys: 77, heads: 8, head_dim: 40, ..plain });
        check(suite, Case { queries: 130, keys: 130, heads: 3, fused: true, ..plain });
        check_long(suite);
    }
}

fn shapes() -> Vec<Case> {
    let plain = Case::PLAIN;
    let mut cases: Vec<Case> = [1, 8, 40, 64, 160]
        .into_iter()
        .flat_map(|head_dim| {
            let fused = Case { head_dim, heads: 3, fused: true, ..plain };
            [Case { head_dim, heads: 1, ..plain }, fused]
        })
        .collect();
    cases.extend([
        Case { queries: 1, keys: 1, batch: 1, ..plain },
        Case { queries: 1, keys: 7, ..plain },
        Case { queries: 9, keys: 1, ..plain },
        Case { queries: 16, keys: 77, batch: 3, head_dim: 40, ..plain },
        Case { scale: Some(0.3), ..plain },
    ]);
    cases
}

fn masks() -> Vec<Case> {
    let plain = Case { batch: 2, heads: 3, queries: 6, keys: 6, ..Case::PLAIN };
    let mut cases = vec![
        Case { mask: Mask::Causal, ..plain },
        Case { mask: Mask::Causal, fused: true, queries: 77, keys: 77, batch: 1, ..plain },
    ];
    for bits in 0..8 {
        let mask = Mask::Additive([bits & 1 == 1, bits & 2 == 2, bits & 4 == 4]);
        cases.push(Case { mask, keys: 4, fused: bits % 2 == 0, ..plain });
    }
    cases
}

/// Products of queries and keys beyond what f16 holds (65504): with a scale that leaves a soft choice, and without.
fn scores() -> [Case; 2] {
    let plain = Case { heads: 2, head_dim: 64, queries: 7, keys: 9, ..Case::PLAIN };
    [
        Case { deviation: 150.0, scale: Some(1e-5), ..plain },
        Case { deviation: 60.0, batch: 1, ..plain },
    ]
}

/// The default body, with so little room that it works in chunks of 1, 2 and 4 of 9 queries.
fn chunks() -> Vec<Case> {
    let plain = Case { queries: 9, keys: 9, ..Case::PLAIN };
    let row = plain.batch * plain.heads * plain.keys;
    let masks = [Mask::None, Mask::Causal, Mask::Additive([false; 3]), Mask::Additive([true; 3])];
    let cases = masks.into_iter().flat_map(|mask| {
        [1, 2 * row, 4 * row + 1].map(|chunk| Case { mask, chunk: Some(chunk), ..plain })
    });
    cases.collect()
}

/// The values of one check: projections with the column at which their heads begin, and the mask.
struct Inputs {
    projections: Vec<Array>,
    offsets: [usize; 3],
    mask: Option<Array>,
}

impl Inputs {
    fn new<B: DiffusionBackend>(suite: &mut Suite<B>, case: Case) -> Self {
        let Case { batch, queries, keys, heads, head_dim, deviation, .. } = case;
        let width = heads * head_dim;
        let mask = match case.mask {
            Mask::Additive(full) => {
                let sizes = [batch, heads, queries];
                let [b, h, q] = core::array::from_fn(|i| if full[i] { sizes[i] } else { 1 });
                let mask = suite.random(&[b, h, q, keys]);
                // Some keys hidden altogether, as padding is, but never the first.
                let hide = |index: usize| !index.is_multiple_of(keys) && index.is_multiple_of(5);
                let values = mask.values().iter().enumerate();
                let values = values.map(|(i, x)| if hide(i) { -1e4 } else { *x }).collect();
                Some(Array::new(mask.shape(), values).round(suite.dtype))
            }
            _ => None,
        };
        let (projections, offsets) = if case.fused {
            // Queries with the keys when there are as many of them, else on their own.
            let all = suite.random_around(&[batch, keys, 3 * width + 4], 0.0, deviation);
            let query = match queries == keys {
                true => all.clone(),
                false => suite.random_around(&[batch, queries, width + 5], 0.0, deviation),
            };
            (vec![query, all.clone(), all], [3, width + 3, 2 * width + 4])
        } else {
            let query = suite.random_around(&[batch, queries, width], 0.0, deviation);
            let key = suite.random_around(&[batch, keys, width], 0.0, deviation);
            (vec![query, key, suite.random(&[batch, keys, width])], [0; 3])
        };
        Self { projections, offsets, mask }
    }

    fn expected(&self, case: Case) -> Array {
        let Case { heads, head_dim, scale, .. } = case;
        let values = AttentionValues {
            heads,
            head_dim,
            scale: scale.unwrap_or(1.0 / (head_dim as f64).sqrt()),
            causal: case.mask == Mask::Causal,
            mask: self.mask.as_ref(),
        };
        let view = |index: usize| (&self.projections[index], self.offsets[index]);
        reference::attention(view(0), view(1), view(2), values)
    }

    fn heads<B: DiffusionBackend>(&self, make: &mut Maker<'_, B>) -> [Heads<B>; 3] {
        core::array::from_fn(|index| Heads {
            projection: make.tensor(&self.projections[index]),
            offset: self.offsets[index],
        })
    }

    fn options<B: DiffusionBackend>(
        &self,
        make: &mut Maker<'_, B>,
        case: Case,
    ) -> AttentionOptions<B> {
        let mask = match (&self.mask, case.mask) {
            (Some(mask), _) => AttentionMask::Additive(make.tensor(mask)),
            (None, Mask::Causal) => AttentionMask::Causal,
            _ => AttentionMask::None,
        };
        let options = AttentionOptions::new(case.heads, case.head_dim).mask(mask);
        AttentionOptions { scale: case.scale, ..options }
    }
}

fn check<B: DiffusionBackend>(suite: &mut Suite<B>, case: Case) {
    let inputs = Inputs::new(suite, case);
    let expected = inputs.expected(case);
    let tolerance = suite.tolerances.product;
    let Some(chunk) = case.chunk else {
        return suite.check::<3>(case, tolerance, &expected, |make| {
            let [query, key, value] = inputs.heads(make);
            ops::attention(query, key, value, inputs.options(make, case))
        });
    };
    // Other layouts are for what a backend calls, which may not be the default body.
    suite.check_dense::<3>(case, tolerance, &expected, |make| {
        let [query, key, value] = inputs.heads(make);
        default::attention_in_chunks(query, key, value, inputs.options(make, case), chunk)
    });
}

/// More scores than any body should hold at once.
fn check_long<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let case = Case { batch: 1, heads: 2, queries: 3001, keys: 3000, ..Case::PLAIN };
    let inputs = Inputs::new(suite, case);
    let expected = inputs.expected(case);
    suite.check_dense::<3>(case, suite.tolerances.product, &expected, |make| {
        let [query, key, value] = inputs.heads(make);
        ops::attention(query, key, value, inputs.options(make, case))
    });
}
