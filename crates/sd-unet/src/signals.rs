//! What enters the captured part of the forward, as a list of tensors and back.

use burn::tensor::{
    DType, Tensor, TensorMetadata, TensorPrimitive, backend::Backend, ops::FloatTensor,
};

/// The inputs of the captured part: images in `[batch, height, width, channels]`, all of one dtype.
pub(crate) struct Signals<B: Backend> {
    /// `[batch, height, width, in]`.
    pub(crate) sample: Tensor<B, 4>,
    /// Features of the timestep, `[batch, features]`.
    pub(crate) features: Tensor<B, 2>,
    /// `[batch, keys, context]`.
    pub(crate) context: Tensor<B, 3>,
    /// Added to the scores of the context's keys, `[batch, 1, 1, keys]`.
    pub(crate) mask: Option<Tensor<B, 4>>,
    /// Class labels as vectors, `[batch, any]`.
    pub(crate) class: Option<Tensor<B, 2>>,
    /// Pooled text and features of the size scalars, `[batch, any]`.
    pub(crate) added: Option<Tensor<B, 2>>,
    /// Guidance embedding, `[batch, any]`.
    pub(crate) guidance: Option<Tensor<B, 2>>,
    /// Added to the skips, one for each or none.
    pub(crate) down_residuals: Vec<Tensor<B, 4>>,
    /// Added to the output of the middle.
    pub(crate) mid_residual: Option<Tensor<B, 4>>,
}

/// Which of the optional [`Signals`] are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presence {
    mask: bool,
    class: bool,
    added: bool,
    guidance: bool,
    down_residuals: usize,
    mid_residual: bool,
}

impl Presence {
    /// A number that differs where the presence does.
    pub(crate) fn variant(&self) -> u64 {
        let flags = [self.mask, self.class, self.added, self.guidance, self.mid_residual];
        flags.iter().fold(self.down_residuals as u64, |bits, flag| bits << 1 | u64::from(*flag))
    }
}

impl<B: Backend> Signals<B> {
    /// The tensors in order, and what [`from_list`](Self::from_list) needs to know.
    pub(crate) fn into_list(self) -> (Presence, Vec<FloatTensor<B>>) {
        let presence = Presence {
            mask: self.mask.is_some(),
            class: self.class.is_some(),
            added: self.added.is_some(),
            guidance: self.guidance.is_some(),
            down_residuals: self.down_residuals.len(),
            mid_residual: self.mid_residual.is_some(),
        };
        let mut list = vec![lower(self.sample), lower(self.features), lower(self.context)];
        list.extend(self.mask.map(lower));
        list.extend([self.class, self.added, self.guidance].into_iter().flatten().map(lower));
        list.extend(self.down_residuals.into_iter().map(lower));
        list.extend(self.mid_residual.map(lower));
        (presence, list)
    }

    /// The way back.
    pub(crate) fn from_list(presence: Presence, list: Vec<FloatTensor<B>>) -> Self {
        let mut list = list.into_iter();
        Self {
            sample: next(&mut list),
            features: next(&mut list),
            context: next(&mut list),
            mask: presence.mask.then(|| next(&mut list)),
            class: presence.class.then(|| next(&mut list)),
            added: presence.added.then(|| next(&mut list)),
            guidance: presence.guidance.then(|| next(&mut list)),
            down_residuals: (0..presence.down_residuals).map(|_| next(&mut list)).collect(),
            mid_residual: presence.mid_residual.then(|| next(&mut list)),
        }
    }
}

/// Shapes and dtypes, for the key of a recording.
pub(crate) fn describe<B: Backend>(list: &[FloatTensor<B>]) -> Vec<(Vec<usize>, DType)> {
    list.iter().map(|tensor| (tensor.shape().to_vec(), tensor.dtype())).collect()
}

/// A tensor without its rank.
pub(crate) fn lower<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// The next tensor of a list that a backend handed over.
///
/// # Panics
/// When there is none, which is a fault of the backend's `capture`.
pub(crate) fn next<B: Backend, const D: usize>(
    list: &mut impl Iterator<Item = FloatTensor<B>>,
) -> Tensor<B, D> {
    let tensor = list.next().expect("a captured part gets and gives every tensor");
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    fn image(value: f32) -> Tensor<B, 4> {
        Tensor::full([1, 1, 1, 1], value, &Default::default())
    }

    fn row(value: f32) -> Tensor<B, 2> {
        Tensor::full([1, 1], value, &Default::default())
    }

    fn signals(present: bool) -> Signals<B> {
        Signals {
            sample: image(0.0),
            features: row(1.0),
            context: Tensor::full([1, 1, 1], 2.0, &Default::default()),
            mask: present.then(|| image(3.0)),
            class: None,
            added: present.then(|| row(4.0)),
            guidance: Some(row(5.0)),
            down_residuals: vec![image(6.0), image(7.0)],
            mid_residual: present.then(|| image(8.0)),
        }
    }

    #[test]
    fn signals_come_back_in_their_places() {
        let (presence, list) = signals(true).into_list();
        assert_eq!(describe::<B>(&list).len(), 9);
        let back = Signals::<B>::from_list(presence, list);
        assert!(back.class.is_none());
        let value = |tensor: Tensor<B, 4>| tensor.into_scalar();
        assert_eq!(value(back.mask.unwrap()), 3.0);
        assert_eq!(back.added.unwrap().into_scalar(), 4.0);
        assert_eq!(back.guidance.unwrap().into_scalar(), 5.0);
        assert_eq!(back.down_residuals.into_iter().map(value).collect::<Vec<_>>(), [6.0, 7.0]);
        assert_eq!(value(back.mid_residual.unwrap()), 8.0);
    }

    #[test]
    fn another_presence_is_another_variant() {
        let (first, _) = signals(true).into_list();
        let (second, _) = signals(false).into_list();
        assert_ne!(first.variant(), second.variant());
        assert_ne!(first.variant(), Presence { down_residuals: 3, ..first }.variant());
    }
}
