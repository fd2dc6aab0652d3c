//! Gradients by the path of their parameter.

use std::collections::BTreeMap;

use burn::tensor::{
    DType, FloatDType, Tensor,
    backend::{AutodiffBackend, Backend},
};
use sd_nn::checkpoint::{AnyTensor, Parameters};

/// Gradients in f32, each as one row, by the path of their parameter. Burn's own are keyed by ids that every run draws anew.
#[derive(Debug, Clone)]
pub struct Gradients<I: Backend> {
    rows: BTreeMap<String, Tensor<I, 1>>,
}

impl<I: Backend> Default for Gradients<I> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<I: Backend> Gradients<I> {
    /// The gradients of what was differentiated, for every parameter that had a part in it; `prefix` stands before the paths.
    pub fn collect<B>(
        &mut self,
        prefix: &str,
        module: &(impl Parameters<B> + ?Sized),
        gradients: &B::Gradients,
    ) where
        B: AutodiffBackend<InnerBackend = I>,
    {
        module.visit_parameters(&mut |view| {
            let Some(gradient) = view.tensor().grad(gradients) else { return };
            self.add(format!("{prefix}{}", view.path()), gradient);
        });
    }

    /// Adds a gradient to what is there for its parameter, as several backward passes of one step do.
    pub fn add(&mut self, path: String, gradient: AnyTensor<I>) {
        let row = gradient.cast(FloatDType::F32).flatten();
        let sum = match self.rows.remove(&path) {
            Some(before) => before + row,
            None => row,
        };
        self.rows.insert(path, sum);
    }

    /// The gradient of a parameter, as a row.
    pub fn get(&self, path: &str) -> Option<&Tensor<I, 1>> {
        self.rows.get(path)
    }

    /// Paths, in their order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All gradients times a factor.
    pub fn scale(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        Self { rows: self.rows.into_iter().map(|(path, row)| (path, row * factor)).collect() }
    }

    /// The L2 norm of all gradients together, `[1]`, without reading the device. `None` without gradients.
    pub fn norm(&self) -> Option<Tensor<I, 1>> {
        let squares: Vec<Tensor<I, 1>> =
            self.rows.values().map(|row| (row.clone() * row.clone()).sum()).collect();
        (!squares.is_empty()).then(|| Tensor::cat(squares, 0).sum().sqrt())
    }

    /// Clips the norm of all gradients together, as PyTorch's `clip_grad_norm_` does: Burn's own clips tensor by tensor.
    /// Returns the norm before, `[1]`; nothing is read from the device.
    pub fn clip_norm(self, limit: f64) -> (Self, Option<Tensor<I, 1>>) {
        let Some(norm) = self.norm() else { return (self, None) };
        let factor = ((norm.clone() + 1e-6).recip() * limit).clamp_max(1.0);
        let rows = self.rows.into_iter().map(|(path, row)| {
            debug_assert_eq!(row.dtype(), DType::F32);
            (path, row * factor.clone())
        });
        (Self { rows: rows.collect() }, Some(norm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type I = burn_ndarray::NdArray<f32>;

    fn gradients(values: [&[f32]; 2]) -> Gradients<I> {
        let mut gradients = Gradients::default();
        for (path, values) in ["a", "b"].into_iter().zip(values) {
            let row = Tensor::<I, 1>::from_floats(values, &Default::default());
            gradients.add(path.to_owned(), row.into());
        }
        gradients
    }

    fn row(gradients: &Gradients<I>, path: &str) -> Vec<f32> {
        gradients.get(path).unwrap().to_data().to_vec().unwrap()
    }

    // torch.nn.utils.clip_grad_norm_ of [3, 0] and [0, 4]: the norm is 5
    #[test]
    fn the_norm_of_all_is_clipped() {
        let (clipped, norm) = gradients([&[3.0, 0.0], &[0.0, 4.0]]).clip_norm(1.0);
        assert_eq!(norm.unwrap().into_scalar(), 5.0);
        assert!((row(&clipped, "a")[0] - 0.6).abs() < 1e-6);
        assert!((row(&clipped, "b")[1] - 0.8).abs() < 1e-6);
        let (kept, _) = gradients([&[3.0, 0.0], &[0.0, 4.0]]).clip_norm(10.0);
        assert_eq!(row(&kept, "b"), [0.0, 4.0]);
    }

    #[test]
    fn several_passes_add_up() {
        let mut sum = gradients([&[1.0], &[2.0]]);
        sum.add("a".into(), Tensor::<I, 1>::from_floats([0.5], &Default::default()).into());
        let half = sum.scale(0.5);
        assert_eq!((row(&half, "a"), row(&half, "b")), (vec![0.75], vec![1.0]));
    }
}
