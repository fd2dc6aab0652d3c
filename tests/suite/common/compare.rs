//! Runs beside those of diffusers.

use sd_core::{DiffusionBackend, Run};

use super::{Tensors, relative_l2};

/// How far a backend may be from diffusers on the CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Relative L2 of the final latents.
    pub(crate) latents: f64,
    /// Difference of a byte of the image.
    pub(crate) byte: u8,
}

/// Makes a run, and says how its latents or its images, if the reference has any, differ too much.
pub(crate) fn compare<B: DiffusionBackend>(
    name: &str,
    mut run: Run<B>,
    reference: &Tensors,
    tolerance: Tolerance,
) -> Option<String> {
    let latents = run.finish_latents().unwrap();
    let (shape, expected) = reference.f32("output.latents");
    assert_eq!(latents.shape(), shape[..], "{name}");
    let error = relative_l2(latents.values(), &expected);
    println!("{name:<24} latents {error:.2e}");
    if !error.is_finite() || error > tolerance.latents {
        return Some(format!("{name}: latents differ by {error:.2e}"));
    }
    reference.names().iter().find(|name| *name == "output.image_u8")?;
    let images = run.finish().unwrap();
    let (shape, expected) = reference.u8("output.image_u8");
    assert_eq!(images.len(), shape[0], "{name}");
    let found: Vec<u8> = images.iter().flat_map(|image| image.as_raw().iter().copied()).collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    (worst > tolerance.byte).then(|| format!("{name}: a byte differs by {worst}"))
}
