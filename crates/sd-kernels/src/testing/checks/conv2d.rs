//! Convolutions.

use core::fmt;

use super::{
    super::{Array, make::Maker, reference, suite::Suite},
    epilogues::Parts,
};
use crate::{Conv2dOptions, ConvInput, DiffusionBackend, Padding, ops};

/// Geometry of one check.
#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    size: [usize; 2],
    channels: usize,
    /// Channels of the second image of a pair.
    second: usize,
    upsample: Option<[usize; 2]>,
    kernel: [usize; 2],
    options: Conv2dOptions,
    out: usize,
    parts: Parts,
}

const SAME: Conv2dOptions = Conv2dOptions { stride: 1, padding: Padding::same(1) };

impl Case {
    const PLAIN: Self = Self {
        batch: 1,
        size: [5, 7],
        channels: 3,
        second: 0,
        upsample: None,
        kernel: [3, 3],
        options: SAME,
        out: 4,
        parts: Parts::NONE,
    };
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, size: [height, width], channels, kernel, options, out, parts, .. } = self;
        write!(f, "conv2d {batch}×{height}×{width}×{channels}")?;
        if self.second > 0 {
            write!(f, "+{}", self.second)?;
        }
        if let Some([height, width]) = self.upsample {
            write!(f, " upsampled to {height}×{width}")?;
        }
        let Padding { top, left, bottom, right } = options.padding;
        let [kernel_h, kernel_w] = kernel;
        write!(f, ", kernel {kernel_h}×{kernel_w}, stride {}", options.stride)?;
        write!(f, ", padding {top} {left} {bottom} {right}, to {out}, {parts}")
    }
}

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    for case in geometries().into_iter().chain(inputs()) {
        check(suite, case);
        check(suite, Case { parts: Parts::ALL, ..case });
    }
    for parts in Parts::few() {
        check(suite, Case { batch: 2, size: [3, 4], parts, ..Case::PLAIN });
    }
    if suite.is_full() {
        for case in large() {
            check(suite, case);
        }
    }
}

fn geometries() -> Vec<Case> {
    let plain = Case::PLAIN;
    let mut cases = Vec::new();
    let paddings = [Padding::default(), Padding::same(1), Padding::end(1)];
    for kernel in [[1, 1], [3, 3]] {
        for stride in [1, 2] {
            for padding in paddings {
                cases.push(Case { kernel, options: Conv2dOptions { stride, padding }, ..plain });
            }
        }
    }
    let uneven = Padding { top: 0, left: 2, bottom: 1, right: 0 };
    cases.extend([
        Case { options: Conv2dOptions { stride: 1, padding: uneven }, ..plain },
        Case { kernel: [3, 1], options: Conv2dOptions { stride: 3, padding: uneven }, ..plain },
        Case { kernel: [2, 5], options: Conv2dOptions::default(), ..plain },
        Case { channels: 1, out: 1, ..plain },
        Case { channels: 4, out: 9, ..plain },
        Case { channels: 9, out: 4, batch: 3, ..plain },
        Case { size: [1, 1], ..plain },
        Case { size: [3, 3], options: Conv2dOptions::default(), ..plain },
        Case { size: [8, 8], channels: 8, out: 16, batch: 2, ..plain },
    ]);
    cases
}

fn inputs() -> Vec<Case> {
    let plain = Case { batch: 2, size: [3, 4], ..Case::PLAIN };
    let down = Conv2dOptions { stride: 2, padding: Padding::end(1) };
    let one = Case { kernel: [1, 1], options: Conv2dOptions::default(), ..plain };
    vec![
        Case { second: 5, ..plain },
        Case { second: 1, ..one },
        Case { upsample: Some([6, 8]), ..plain },
        Case { upsample: Some([5, 7]), ..plain },
        Case { upsample: Some([3, 7]), ..plain },
        Case { upsample: Some([2, 3]), ..plain },
        Case { upsample: Some([3, 4]), ..plain },
        // ⌊i · (6 / 74)⌋ in f32 is not ⌊6 i / 74⌋.
        Case { size: [6, 2], upsample: Some([74, 2]), ..one },
        Case { upsample: Some([6, 8]), ..one },
        Case { upsample: Some([7, 9]), second: 2, ..plain },
        Case { upsample: Some([7, 9]), second: 2, options: down, ..plain },
    ]
}

fn large() -> [Case; 4] {
    let plain = Case { batch: 2, size: [17, 15], channels: 40, out: 72, ..Case::PLAIN };
    [
        Case { parts: Parts::ALL, ..plain },
        Case { second: 33, upsample: Some([31, 30]), parts: Parts::BIAS, ..plain },
        // More than one tile of patches in the CPU's kernel.
        Case { batch: 1, size: [72, 72], channels: 48, out: 3, ..plain },
        Case { parts: Parts::GEGLU, ..plain },
    ]
}

fn check<B: DiffusionBackend>(suite: &mut Suite<B>, case: Case) {
    let Case { batch, size: [height, width], channels, second, upsample, options, out, .. } = case;
    let first = suite.random(&[batch, height, width, channels]);
    let second = (second > 0).then(|| suite.random(&[batch, height, width, second]));
    let image = reference::materialise(&first, second.as_ref(), upsample);
    let [kernel_h, kernel_w] = case.kernel;
    let weight = suite.random_weight(&[out, kernel_h, kernel_w, image.shape()[3]]);
    let product = reference::conv2d(&image, &weight, options);
    let values = case.parts.values(suite, product.shape());
    let expected = reference::epilogue(&product, &values);
    suite.check::<4>(case, suite.tolerances.product, &expected, |make| {
        let input = input(make, &first, second.as_ref(), upsample);
        ops::conv2d(input, &make.weight(&weight), options, make.epilogue(&values))
    });
}

/// The input of a convolution or group norm.
pub(super) fn input<B: DiffusionBackend>(
    make: &mut Maker<'_, B>,
    first: &Array,
    second: Option<&Array>,
    upsample: Option<[usize; 2]>,
) -> ConvInput<B> {
    ConvInput {
        first: make.tensor(first),
        second: second.map(|second| make.tensor(second)),
        upsample,
    }
}
