//! Many parameters in one row.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use burn::tensor::{DType, Tensor};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::AnyTensor;

/// Values after which a parameter may begin: 512 bytes of 16-bit numbers, from where CubeCL looks at a part of a row without
/// copying it.
const BLOCK: usize = 256;

/// Where parameters stand in a row, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    places: BTreeMap<String, Range<usize>>,
    length: usize,
}

impl Layout {
    /// A row of these parameters and their numbers of values.
    pub(crate) fn new(parameters: impl IntoIterator<Item = (String, usize)>) -> Self {
        let lengths: BTreeMap<String, usize> = parameters.into_iter().collect();
        let mut length = 0;
        let places = lengths.into_iter().map(|(path, values)| {
            let start = length;
            length += values.next_multiple_of(BLOCK);
            (path, start..start + values)
        });
        let places = places.collect();
        Self { places, length }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The parameters with their numbers of values.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (String, usize)> {
        self.places.iter().map(|(path, place)| (path.clone(), place.len()))
    }

    /// The parameters that are wanted, in a row of their own, and the others in another.
    pub(crate) fn partition(&self, wanted: impl Fn(&str) -> bool) -> [Self; 2] {
        let (inside, outside): (Vec<_>, Vec<_>) =
            self.lengths().partition(|(path, _)| wanted(path));
        [Self::new(inside), Self::new(outside)]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Values of many parameters in one tensor, so that what is done to all of them is done once, and not hundreds of times on small
/// tensors. Between the parameters there are zeros.
#[derive(Debug, Clone)]
pub(crate) struct Row<I: DiffusionBackend> {
    layout: Arc<Layout>,
    values: Tensor<I, 1>,
}

impl<I: DiffusionBackend> Row<I> {
    /// A row of these tensors, in f32; `None` of none.
    pub(crate) fn gather(tensors: BTreeMap<String, AnyTensor<I>>) -> Option<Self> {
        let tensors: BTreeMap<String, Tensor<I, 1>> =
            tensors.into_iter().map(|(path, tensor)| (path, tensor.flatten())).collect();
        let device = tensors.values().next()?.device();
        let layout =
            Layout::new(tensors.iter().map(|(path, tensor)| (path.clone(), tensor.dims()[0])));
        let starts = layout.places.values().map(|place| place.start);
        let values = I::row(starts.zip(tensors.into_values()).collect(), layout.length, &device);
        Some(Self { layout: Arc::new(layout), values })
    }

    /// The row of some of its parameters; `None` of none. Those that it has not are left out.
    pub(crate) fn select(&self, layout: &Layout) -> Option<Self> {
        if *self.layout == *layout {
            return Some(self.clone());
        }
        let found =
            layout.paths().filter_map(|path| Some((path.to_owned(), self.get(path)?.into())));
        Self::gather(found.collect())
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn values(&self) -> &Tensor<I, 1> {
        &self.values
    }

    pub(crate) fn into_values(self) -> Tensor<I, 1> {
        self.values
    }

    /// Other values of the same parameters.
    pub(crate) fn with(&self, values: Tensor<I, 1>) -> Self {
        debug_assert_eq!(values.dtype(), DType::F32);
        Self { layout: self.layout.clone(), values }
    }

    /// The same values, and `change` to them all at once.
    pub(crate) fn map(self, change: impl FnOnce(Tensor<I, 1>) -> Tensor<I, 1>) -> Self {
        Self { layout: self.layout, values: change(self.values) }
    }

    /// The values of a parameter.
    pub(crate) fn get(&self, path: &str) -> Option<Tensor<I, 1>> {
        let place = self.layout.places.get(path)?;
        Some(self.values.clone().slice([place.clone()]))
    }

    /// The sum with another row, over the parameters of both; `None` of none.
    pub(crate) fn plus(self, other: &Self) -> Option<Self> {
        if self.layout == other.layout {
            return Some(self.map(|values| values + other.values.clone()));
        }
        let mut sums = other.tensors();
        for (path, tensor) in self.tensors() {
            let sum = match sums.remove(&path) {
                Some(other) => tensor + other,
                None => tensor,
            };
            sums.insert(path, sum);
        }
        Self::gather(sums.into_iter().map(|(path, sum)| (path, sum.into())).collect())
    }

    /// The sum of all squares, `[1]`. In two steps: CubeCL 0.10 sums along an axis with one thread for each result, and f32 adds up
    /// a short row better than a long one.
    pub(crate) fn squares(&self) -> Tensor<I, 1> {
        let squares = self.values.clone() * self.values.clone();
        squares.reshape([self.layout.length / BLOCK, BLOCK]).sum_dim(1).sum()
    }

    /// The values by path.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor<I, 1>> {
        let paths = self.layout.paths();
        paths.filter_map(|path| Some((path.to_owned(), self.get(path)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type I = burn_ndarray::NdArray<f32>;

    fn row(tensors: &[(&str, &[f32])]) -> Row<I> {
        let tensor =
            |values: &[f32]| Tensor::<I, 1>::from_floats(values, &Default::default()).into();
        Row::gather(
            tensors.iter().map(|(path, values)| (path.to_string(), tensor(values))).collect(),
        )
        .unwrap()
    }

    fn values(row: &Row<I>, path: &str) -> Vec<f32> {
        row.get(path).unwrap().to_data().to_vec().unwrap()
    }

    #[test]
    fn parameters_keep_their_values() {
        let long: Vec<f32> = (0..300).map(|value| value as f32).collect();
        let row = row(&[("b", &[1.0, 2.0]), ("a", &long), ("c", &[3.0])]);
        assert_eq!(row.values().dims(), [4 * BLOCK]);
        assert_eq!((values(&row, "a"), values(&row, "b")), (long, vec![1.0, 2.0]));
        assert!(row.get("d").is_none());
        let [some, others] = row.layout().partition(|path| path == "b");
        assert_eq!(values(&row.select(&some).unwrap(), "b"), [1.0, 2.0]);
        let others = row.select(&others).unwrap();
        assert_eq!(others.layout().paths().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(values(&others, "c"), [3.0]);
        assert!(row.select(&Layout::new([])).is_none());
    }

    #[test]
    fn sums_are_over_the_parameters_of_both() {
        let (a, b) =
            (row(&[("a", &[1.0]), ("b", &[2.0, 3.0])]), row(&[("b", &[0.5, 0.5]), ("c", &[4.0])]));
        let sum = a.clone().plus(&b).unwrap();
        assert_eq!(sum.layout().paths().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((values(&sum, "a"), values(&sum, "b")), (vec![1.0], vec![2.5, 3.5]));
        assert_eq!(values(&a.clone().plus(&a).unwrap(), "b"), [4.0, 6.0]);
        assert_eq!(sum.squares().into_scalar(), 1.0 + 6.25 + 12.25 + 16.0);
    }

    /// What is between the parameters stays zero, or it would be in the norm.
    #[test]
    fn other_types_become_f32() {
        let device = Default::default();
        let double = Tensor::<I, 1>::from_data([0.1f64, 0.2], (&device, DType::F64));
        let single = Tensor::<I, 1>::from_data([0.5f32], (&device, DType::F32));
        let mixed = BTreeMap::from([
            ("a".to_owned(), double.clone().into()),
            ("b".to_owned(), single.into()),
        ]);
        let alike = BTreeMap::from([("a".to_owned(), double.into())]);
        for tensors in [mixed, alike] {
            let row = Row::<I>::gather(tensors).unwrap();
            assert_eq!(row.values().dtype(), DType::F32);
            assert_eq!(values(&row, "a"), [0.1, 0.2]);
        }
    }
}
