//! Tensors of any rank.

use burn::tensor::{
    DType, FloatDType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive,
    backend::{AutodiffBackend, Backend},
};

/// A float tensor whose rank is known at run time.
#[derive(Debug, Clone)]
pub struct AnyTensor<B: Backend> {
    primitive: TensorPrimitive<B>,
}

impl<B: Backend, const D: usize> From<Tensor<B, D>> for AnyTensor<B> {
    fn from(tensor: Tensor<B, D>) -> Self {
        Self { primitive: tensor.into_primitive() }
    }
}

impl<B: Backend> AnyTensor<B> {
    /// Shape, outermost dimension first.
    pub fn shape(&self) -> Vec<usize> {
        self.primitive.shape().to_vec()
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.primitive.rank()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.primitive.dtype()
    }

    /// The tensor, when its rank is `D`; else the same again.
    ///
    /// # Errors
    /// This tensor, when its rank is another.
    pub fn into_tensor<const D: usize>(self) -> Result<Tensor<B, D>, Self> {
        if self.rank() == D { Ok(Tensor::from_primitive(self.primitive)) } else { Err(self) }
    }

    /// The same values in another float type.
    pub fn cast(self, dtype: FloatDType) -> Self {
        if self.dtype() == DType::from(dtype) {
            return self;
        }
        Self { primitive: TensorPrimitive::Float(B::float_cast(self.primitive.tensor(), dtype)) }
    }

    /// The same values on another device.
    pub fn to_device(self, device: &B::Device) -> Self {
        Self {
            primitive: TensorPrimitive::Float(B::float_to_device(self.primitive.tensor(), device)),
        }
    }

    /// The values, read from the device.
    ///
    /// # Errors
    /// What the backend says, as text.
    pub fn try_into_data(self) -> Result<TensorData, String> {
        let data = B::float_into_data(self.primitive.tensor());
        match burn::tensor::try_read_sync(data) {
            Some(data) => data.map_err(|error| error.to_string()),
            None => Err("this platform cannot wait for the device".into()),
        }
    }
}

impl<B: Backend> AnyTensor<B> {
    /// All values in one row, in row-major order.
    pub fn flatten(self) -> Tensor<B, 1> {
        let shape = Shape::new([self.shape().iter().product()]);
        Tensor::from_primitive(TensorPrimitive::Float(B::float_reshape(
            self.primitive.tensor(),
            shape,
        )))
    }

    /// The values of a row in a shape.
    ///
    /// # Panics
    /// When there are more or fewer than the shape has.
    pub fn from_flat(values: Tensor<B, 1>, shape: &[usize]) -> Self {
        let primitive =
            B::float_reshape(values.into_primitive().tensor(), Shape::from(shape.to_vec()));
        Self { primitive: TensorPrimitive::Float(primitive) }
    }

    pub(super) fn into_primitive(self) -> TensorPrimitive<B> {
        self.primitive
    }
}

impl<B: AutodiffBackend> AnyTensor<B> {
    /// The gradient of what was differentiated with respect to this tensor, if it had a part in that.
    pub fn grad(&self, gradients: &B::Gradients) -> Option<AnyTensor<B::InnerBackend>> {
        let primitive = B::grad(&self.primitive.clone().tensor(), gradients)?;
        Some(AnyTensor { primitive: TensorPrimitive::Float(primitive) })
    }

    /// The values without their history.
    pub fn inner(self) -> AnyTensor<B::InnerBackend> {
        AnyTensor { primitive: TensorPrimitive::Float(B::inner(self.primitive.tensor())) }
    }

    /// Values without a history.
    pub fn from_inner(inner: AnyTensor<B::InnerBackend>) -> Self {
        Self { primitive: TensorPrimitive::Float(B::from_inner(inner.primitive.tensor())) }
    }
}

#[cfg(test)]
mod tests {
    use burn_autodiff::Autodiff;

    use super::*;

    type B = Autodiff<burn_ndarray::NdArray<f32>>;

    #[test]
    fn gradients_and_rows_keep_their_values() {
        let tensor =
            Tensor::<B, 2>::from_data([[1.0, 2.0], [3.0, 4.0]], &Default::default()).require_grad();
        let gradients = (tensor.clone() * tensor.clone()).sum().backward();
        let any = AnyTensor::from(tensor);
        let grad = any.grad(&gradients).unwrap();
        assert_eq!(grad.shape(), [2, 2]);
        let row = grad.flatten();
        assert_eq!(row.to_data().to_vec::<f32>().unwrap(), [2.0, 4.0, 6.0, 8.0]);
        let back = AnyTensor::<B>::from_inner(AnyTensor::from_flat(row, &[2, 2]));
        assert_eq!(back.shape(), [2, 2]);
        assert_eq!(any.inner().flatten().to_data().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}
