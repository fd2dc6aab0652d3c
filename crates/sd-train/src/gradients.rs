//! Gradients by the path of their parameter.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, backend::AutodiffBackend};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{AnyTensor, Parameters};

use crate::{row::Row, task::prefix};

/// Gradients in f32, by the path of their parameter: Burn's own are keyed by ids that every run draws anew.
#[derive(Debug, Clone)]
pub struct Gradients<I: DiffusionBackend> {
    /// `None` without any.
    row: Option<Row<I>>,
}

impl<I: DiffusionBackend> Gradients<I> {
    /// Gradients by path.
    pub fn new(gradients: impl IntoIterator<Item = (String, AnyTensor<I>)>) -> Self {
        Self { row: Row::gather(gradients.into_iter().collect()) }
    }

    /// The gradients of what was differentiated, for every parameter that had a part in it. Names of parts stand before the paths.
    pub fn of<B>(parts: &[(&str, &dyn Parameters<B>)], gradients: &B::Gradients) -> Self
    where
        B: AutodiffBackend<InnerBackend = I>,
    {
        let mut found = BTreeMap::new();
        for (name, part) in parts {
            part.visit_parameters(&mut |view| {
                let Some(gradient) = view.tensor().grad(gradients) else { return };
                found.insert(format!("{}{}", prefix(name), view.path()), gradient);
            });
        }
        Self { row: Row::gather(found) }
    }

    /// The sum with other gradients, as several backward passes of one step make it.
    pub fn plus(self, other: Self) -> Self {
        let row = match (self.row, other.row) {
            (Some(row), Some(other)) => row.plus(&other),
            (row, other) => row.or(other),
        };
        Self { row }
    }

    /// The gradient of a parameter, as a row.
    pub fn get(&self, path: &str) -> Option<Tensor<I, 1>> {
        self.row.as_ref()?.get(path)
    }

    /// Paths, in their order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.row.iter().flat_map(|row| row.layout().paths())
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.row.is_none()
    }

    /// All gradients times a factor.
    pub fn scale(self, factor: f64) -> Self {
        match factor == 1.0 {
            true => self,
            false => Self { row: self.row.map(|row| row.map(|values| values * factor)) },
        }
    }

    /// The L2 norm of all gradients together, `[1]`, without reading the device. `None` without gradients.
    pub fn norm(&self) -> Option<Tensor<I, 1>> {
        self.row.as_ref().map(|row| row.squares().sqrt())
    }

    /// Clips the norm of all gradients together, as PyTorch's `clip_grad_norm_` does: Burn's own clips tensor by tensor.
    /// Returns the norm before, `[1]`; nothing is read from the device.
    pub fn clip_norm(self, limit: f64) -> (Self, Option<Tensor<I, 1>>) {
        let Some(norm) = self.norm() else { return (self, None) };
        let factor = ((norm.clone() + 1e-6).recip() * limit).clamp_max(1.0);
        let row = self.row.map(|row| row.map(|values| values * factor));
        (Self { row }, Some(norm))
    }

    /// What `change` makes of all values, in one row with zeros between the parameters.
    pub(crate) fn map<E>(
        self,
        change: impl FnOnce(Tensor<I, 1>) -> Result<Tensor<I, 1>, E>,
    ) -> Result<Self, E> {
        let Some(row) = self.row else { return Ok(self) };
        let values = change(row.values().clone())?;
        Ok(Self { row: Some(row.with(values)) })
    }

    pub(crate) fn row(&self) -> Option<&Row<I>> {
        self.row.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type I = burn_ndarray::NdArray<f32>;

    fn gradients(values: [&[f32]; 2]) -> Gradients<I> {
        Gradients::new(["a", "b"].into_iter().zip(values).map(|(path, values)| {
            let row = Tensor::<I, 1>::from_floats(values, &Default::default());
            (path.to_owned(), row.into())
        }))
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
        let more = Tensor::<I, 1>::from_floats([0.5], &Default::default());
        let more = Gradients::new([("a".to_owned(), more.into())]);
        let half = gradients([&[1.0], &[2.0]]).plus(more).scale(0.5);
        assert_eq!((row(&half, "a"), row(&half, "b")), (vec![0.75], vec![1.0]));
        let none = Gradients::<I>::new([]);
        assert!(none.is_empty() && none.norm().is_none());
        assert_eq!(row(&none.plus(half), "a"), [0.75]);
    }
}
