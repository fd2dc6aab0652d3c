//! Normalisations.

use super::{
    super::{Array, reference, reference::Scaling, suite::Suite},
    conv2d::input,
};
use crate::{Activation, DiffusionBackend, GroupNormOptions, LayerNormOptions, ops};

pub(crate) fn run<B: DiffusionBackend>(suite: &mut Suite<B>) {
    group_norms(suite);
    layer_norms(suite);
    rms_norms(suite);
}

/// Random values of affine and modulation, each with or without.
fn scalings<B: DiffusionBackend>(
    suite: &mut Suite<B>,
    batch: usize,
    channels: usize,
) -> [(&'static str, Scaling); 4] {
    let mut pair = |shape: &[usize]| [suite.random(shape), suite.random(shape)];
    let affine = Some(pair(&[channels]));
    let modulation = Some(pair(&[batch, channels]));
    let none = Scaling::default();
    [
        ("plain", none.clone()),
        ("affine", Scaling { affine: affine.clone(), ..none.clone() }),
        ("modulated", Scaling { modulation: modulation.clone(), ..none }),
        ("affine and modulated", Scaling { affine, modulation, activation: None }),
    ]
}

#[derive(Clone, Copy)]
struct Image<'a> {
    first: &'a Array,
    second: Option<&'a Array>,
    upsample: Option<[usize; 2]>,
}

fn group_norms<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let shape = [2, 3, 5, 12];
    let activations = [None, Some(Activation::Silu), Some(Activation::Gelu)];
    for groups in [1, 2, 4, 12] {
        for (name, scaling) in scalings(suite, shape[0], shape[3]) {
            for activation in activations {
                let first = suite.random_around(&shape, 0.5, 2.0);
                let image = Image { first: &first, second: None, upsample: None };
                let scaling = Scaling { activation, ..scaling.clone() };
                group_norm(suite, name, image, groups, &scaling);
            }
        }
    }
    let [_, (_, affine), ..] = scalings(suite, 2, 12);
    let first = suite.random(&[2, 3, 4, 8]);
    let second = suite.random(&[2, 3, 4, 4]);
    let pair = Image { first: &first, second: Some(&second), upsample: None };
    group_norm(suite, "pair", pair, 3, &affine);
    group_norm(suite, "pair, upsampled", Image { upsample: Some([7, 8]), ..pair }, 3, &affine);
    let first = suite.random(&[2, 3, 4, 12]);
    let image = Image { first: &first, second: None, upsample: Some([5, 9]) };
    group_norm(suite, "upsampled", image, 4, &affine);
    let first = suite.random(&[1, 1, 1, 12]);
    let image = Image { first: &first, second: None, upsample: None };
    group_norm(suite, "one pixel", image, 3, &affine);
    large_values(suite);
    // Hardly any variance, so that `eps` decides.
    let first = suite.random_around(&[2, 3, 5, 12], 0.0, 0.003);
    let image = Image { first: &first, second: None, upsample: None };
    group_norm(suite, "small values", image, 3, &affine);
}

/// Values whose squares, and whose sums, are beyond what f16 holds; 40960 elements in a group, as in SD's first blocks.
fn large_values<B: DiffusionBackend>(suite: &mut Suite<B>) {
    for (mean, deviation) in [(40.0, 8.0), (-300.0, 300.0)] {
        let shape = if suite.is_full() { [1, 64, 64, 20] } else { [1, 64, 8, 20] };
        let first = suite.random_around(&shape, mean, deviation);
        let [_, (_, affine), ..] = scalings(suite, 1, 20);
        let image = Image { first: &first, second: None, upsample: None };
        group_norm(suite, &format!("mean {mean}"), image, 2, &affine);
    }
}

fn group_norm<B: DiffusionBackend>(
    suite: &mut Suite<B>,
    what: &str,
    image: Image<'_>,
    groups: usize,
    scaling: &Scaling,
) {
    const EPS: f64 = 1e-5;
    let Image { first, second, upsample } = image;
    let whole = reference::materialise(first, second, upsample);
    let expected = reference::group_norm(&whole, groups, EPS, scaling);
    let shape = whole.shape();
    let name = format!("group_norm {shape:?} in {groups}, {what}, {:?}", scaling.activation);
    suite.check::<4>(name, suite.tolerances.norm, &expected, |make| {
        let options = GroupNormOptions {
            groups,
            eps: EPS,
            affine: make.affine(scaling),
            modulation: make.modulation(scaling),
            activation: scaling.activation,
        };
        ops::group_norm(input(make, first, second, upsample), options)
    });
}

fn layer_norms<B: DiffusionBackend>(suite: &mut Suite<B>) {
    let mut shapes = vec![[1, 1, 2], [3, 5, 7], [2, 4, 64]];
    if suite.is_full() {
        shapes.extend([[2, 77, 320], [1, 3, 1280]]);
    }
    for shape @ [batch, _, channels] in shapes {
        for (name, scaling) in scalings(suite, batch, channels) {
            let input = suite.random_around(&shape, 1.0, 2.0);
            layer_norm(suite, name, &input, &scaling);
        }
    }
    let [_, (_, affine), ..] = scalings(suite, 2, 320);
    let input = suite.random_around(&[2, 3, 320], 200.0, 150.0);
    layer_norm(suite, "large values", &input, &affine);
    let input = suite.random_around(&[2, 3, 320], 0.0, 0.003);
    layer_norm(suite, "small values", &input, &affine);

    let [.., (_, both)] = scalings(suite, 2, 6);
    let input = suite.random(&[2, 3, 4, 6]);
    let expected = reference::layer_norm(&input.reshape(&[2, 12, 6]), 1e-5, &both);
    let expected = expected.reshape(&[2, 3, 4, 6]);
    suite.check::<4>("layer_norm of rank 4", suite.tolerances.norm, &expected, |make| {
        let (affine, modulation) = (make.affine(&both), make.modulation(&both));
        ops::layer_norm(make.tensor(&input), LayerNormOptions { eps: 1e-5, affine, modulation })
    });
}

fn layer_norm<B: DiffusionBackend>(
    suite: &mut Suite<B>,
    what: &str,
    input: &Array,
    scaling: &Scaling,
) {
    const EPS: f64 = 1e-5;
    let expected = reference::layer_norm(input, EPS, scaling);
    let name = format!("layer_norm {:?}, {what}", input.shape());
    suite.check::<3>(name, suite.tolerances.norm, &expected, |make| {
        let (affine, modulation) = (make.affine(scaling), make.modulation(scaling));
        ops::layer_norm(make.tensor(input), LayerNormOptions { eps: EPS, affine, modulation })
    });
}

fn rms_norms<B: DiffusionBackend>(suite: &mut Suite<B>) {
    for (shape, mean, deviation) in [
        ([1, 1, 1], 0.0, 1.0),
        ([3, 5, 7], 0.0, 1.0),
        ([2, 3, 320], 100.0, 300.0),
        ([2, 3, 6], 0.0, 1e-3),
    ] {
        let input = suite.random_around(&shape, mean, deviation);
        let weight = suite.random(&shape[2..]);
        let expected = reference::rms_norm(&input, &weight, 1e-6);
        let name = format!("rms_norm {shape:?} around {mean} ± {deviation}");
        suite.check::<3>(name, suite.tolerances.norm, &expected, |make| {
            ops::rms_norm(make.tensor(&input), make.tensor(&weight), 1e-6)
        });
    }
}
