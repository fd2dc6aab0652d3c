//! Gradients of whole models against PyTorch's autograd: relative L2 of each block at most 1e-4.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, backend::AutodiffBackend};
use sd_clip::EosToken;
use sd_nn::checkpoint::Parameters;
use sd_train::Gradients;
use sd_unet::UNetInput;

use crate::fixtures::{self, B, Golden, Inner};

/// Of a block.
const TOLERANCE: f64 = 1e-4;
/// Of a parameter: what a norm behind a bias nearly takes away leaves little, with all of the rounding.
const PARAMETER_TOLERANCE: f64 = 1e-3;

/// The block that a parameter is in: `down_blocks.0.resnets.1`, `text_model.encoder.layers.0`, `conv_in`.
fn block(path: &str) -> &str {
    let parts =
        ["resnets", "transformer_blocks", "attentions", "layers", "downsamplers", "upsamplers"];
    let mut end = path.find('.').unwrap_or(path.len());
    for part in parts {
        let Some(start) = path.find(&format!("{part}.")) else { continue };
        let index = start + part.len() + 1;
        let digits = path[index..].find('.').unwrap_or(path.len() - index);
        end = end.max(index + digits);
    }
    &path[..end]
}

/// Squares of a difference, and of what it is relative to.
#[derive(Default, Clone, Copy)]
struct Squares {
    difference: f64,
    reference: f64,
}

impl Squares {
    fn of(found: &[f32], reference: &[f32]) -> Self {
        let pairs = found.iter().zip(reference).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        pairs.fold(Self::default(), |sum, (a, b)| Self {
            difference: sum.difference + (a - b).powi(2),
            reference: sum.reference + b * b,
        })
    }

    fn plus(self, other: Self) -> Self {
        Self {
            difference: self.difference + other.difference,
            reference: self.reference + other.reference,
        }
    }

    fn relative(self, floor: f64) -> f64 {
        (self.difference / self.reference.max(floor)).sqrt()
    }
}

fn check(golden: &Golden, module: &impl Parameters<B>, found: &<B as AutodiffBackend>::Gradients) {
    let gradients = Gradients::<Inner>::of::<B>(&[("", module)], found);
    let names = golden.names();
    let expected: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("grad.")).collect();
    let squares: BTreeMap<&str, Squares> = expected
        .iter()
        .map(|path| {
            let row = gradients.get(path).unwrap_or_else(|| panic!("no gradient of {path}"));
            let row: Vec<f32> = row.to_data().to_vec().unwrap();
            let reference = golden.values(&format!("grad.{path}"));
            assert_eq!(row.len(), reference.len(), "{path}");
            (*path, Squares::of(&row, &reference))
        })
        .collect();
    let all = squares.values().fold(Squares::default(), |sum, squares| sum.plus(*squares));
    // A gradient that is zero but for rounding, as that of a key's bias is, has no relative error of its own.
    let floor = all.reference * 1e-8;
    let mut blocks: BTreeMap<&str, Squares> = BTreeMap::new();
    for (path, squares) in &squares {
        let error = squares.relative(floor);
        assert!(error <= PARAMETER_TOLERANCE, "{path}: relative L2 {error:e}");
        let sum = blocks.entry(block(path)).or_default();
        *sum = sum.plus(*squares);
    }
    for (block, squares) in blocks {
        let error = squares.relative(floor);
        println!("{error:.1e} {block}");
        assert!(error <= TOLERANCE, "{block}: relative L2 {error:e}");
    }
    let unknown: Vec<&str> = gradients.paths().filter(|path| !expected.contains(path)).collect();
    assert!(unknown.is_empty(), "no reference for {unknown:?}");
}

#[test]
fn unet() {
    let (golden, model) = (Golden::open("training/unet.safetensors"), fixtures::unet());
    let (sample, context) = (golden.tensor("input.sample"), golden.tensor("input.context"));
    let mut input = UNetInput::new(sample, 0.0, context);
    input.timesteps = golden.values("input.timestep").into_iter().map(f64::from).collect();
    let output = model.forward(input).unwrap();
    let loss = (output * golden.tensor("direction")).sum();
    check(&golden, &model, &loss.backward());
}

#[test]
fn vae_both_ways() {
    let (golden, model) = (Golden::open("training/vae.safetensors"), fixtures::vae());
    let posterior = model.encode(golden.tensor("input.image")).unwrap();
    let output = model.decode(posterior.mode()).unwrap();
    let loss = (output * golden.tensor("direction")).sum();
    check(&golden, &model, &loss.backward());
}

#[test]
fn text_encoder() {
    let (golden, model) = (Golden::open("training/text.safetensors"), fixtures::text_encoder());
    let ids: Vec<u32> = golden.values("input.ids").into_iter().map(|id| id as u32).collect();
    let ids: Vec<&[u32]> = ids.chunks(5).collect();
    let output = model.forward(&ids, EosToken::FromConfig).unwrap();
    let features: Tensor<B, 3> =
        model.features(&output, sd_clip::TextFeatures::LastNormalized, None).unwrap();
    let loss = (features * golden.tensor("direction")).sum();
    check(&golden, &model, &loss.backward());
}
