//! Plain arrays of f64, in which references are computed.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend, bf16, f16};

/// Values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    /// An array of the given shape.
    ///
    /// # Panics
    /// When the number of values is not that of the shape.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values for {shape:?}");
        Self { shape: shape.to_vec(), values }
    }

    /// An array whose element at each index is what `value` returns for it.
    pub fn from_fn<const D: usize>(
        shape: [usize; D],
        mut value: impl FnMut([usize; D]) -> f64,
    ) -> Self {
        let count: usize = shape.iter().product();
        let values = (0..count)
            .map(|flat| {
                let mut rest = flat;
                let mut index = [0; D];
                for axis in (0..D).rev() {
                    index[axis] = rest % shape[axis];
                    rest /= shape[axis];
                }
                value(index)
            })
            .collect();
        Self { shape: shape.to_vec(), values }
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape of an array whose rank is known.
    ///
    /// # Panics
    /// When the array is of another rank.
    pub fn dims<const D: usize>(&self) -> [usize; D] {
        assert_eq!(self.shape.len(), D, "rank of {:?}", self.shape);
        core::array::from_fn(|axis| self.shape[axis])
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The element at an index.
    pub fn at<const D: usize>(&self, index: [usize; D]) -> f64 {
        debug_assert_eq!(self.shape.len(), D);
        let flat = index.iter().zip(&self.shape).fold(0, |flat, (index, size)| flat * size + index);
        self.values[flat]
    }

    /// The same values in another shape.
    ///
    /// # Panics
    /// When the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        Self::new(shape, self.values.clone())
    }

    /// Every value rounded to the nearest that `dtype` can hold.
    pub fn round(mut self, dtype: DType) -> Self {
        let round: fn(f64) -> f64 = match dtype {
            DType::F16 => |value| f64::from(f16::from_f64(value)),
            DType::BF16 => |value| f64::from(bf16::from_f64(value)),
            DType::F64 => |value| value,
            _ => |value| f64::from(value as f32),
        };
        self.values.iter_mut().for_each(|value| *value = round(*value));
        self
    }

    /// The values as tensor data of `dtype`.
    pub fn to_data(&self, dtype: DType) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone()).convert_dtype(dtype)
    }

    /// A dense tensor of `dtype`.
    pub fn to_tensor<B: Backend, const D: usize>(
        &self,
        device: &B::Device,
        dtype: DType,
    ) -> Tensor<B, D> {
        Tensor::from_data(self.to_data(dtype), (device, dtype))
    }

    /// The values of tensor data of any float type.
    pub fn from_data(data: TensorData) -> Self {
        let shape: Vec<usize> = data.shape.to_vec();
        let values = data.convert_dtype(DType::F64).iter::<f64>().collect();
        Self::new(&shape, values)
    }
}
