//! The kernels against plain loops in f64. Inputs are dense, and with padded rows as on CUDA.

mod attention;
mod columns;
mod convolution;
mod norms;
mod tails;

use burn::tensor::{DType, Shape, TensorData};
use burn_cubecl::{CubeRuntime, ops::into_data_sync, tensor::CubeTensor};

use crate::testing::{Array, Generator, Measure, error};

const TOLERANCE: f64 = 1e-4;

/// Arrays and tensors of one runtime.
struct Bench<R: CubeRuntime> {
    device: R::Device,
    generator: Generator,
    /// Elements after each row of what is uploaded.
    padding: usize,
}

impl<R: CubeRuntime> Bench<R> {
    fn random(&mut self, shape: &[usize]) -> Array {
        self.generator.array(shape, 0.2, 1.0).round(DType::F32)
    }

    /// A tensor whose rows are followed by what must not be read.
    fn upload(&self, array: &Array) -> CubeTensor<R> {
        let shape = array.shape();
        let (width, padding) =
            (shape[shape.len() - 1], if shape.len() > 1 { self.padding } else { 0 });
        let rows = array.values().chunks(width);
        let values = rows.flat_map(|row| {
            let row = row.iter().map(|value| *value as f32);
            row.chain(core::iter::repeat_n(f32::NAN, padding))
        });
        let data = TensorData::new(
            values.collect::<Vec<f32>>(),
            [array.values().len() / width * (width + padding)],
        );
        let client = R::client(&self.device);
        let handle = client.create_from_slice(data.as_bytes());
        let device = self.device.clone();
        let dense = Shape::from(shape.to_vec());
        let mut tensor = CubeTensor::new_contiguous(client, device, dense, handle, DType::F32);
        let mut stride = width + padding;
        for axis in (0..shape.len() - 1).rev() {
            tensor.meta.strides[axis] = stride;
            stride *= shape[axis];
        }
        tensor
    }

    fn check(&self, name: &str, expected: &Array, found: CubeTensor<R>) {
        self.check_values(name, expected, &Array::from_data(into_data_sync(found)));
    }

    fn check_values(&self, name: &str, expected: &Array, found: &Array) {
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let error = error(expected, found, Measure::MaxAbs);
        assert!(error <= TOLERANCE, "{name}, rows padded by {}: error {error:e}", self.padding);
    }
}

/// Gradient of `Σ weights · run(at)`, by central differences.
fn gradient(at: &Array, weights: &Array, run: impl Fn(&Array) -> Array) -> Array {
    const STEP: f64 = 1e-5;
    let value = |index: usize, step: f64| {
        let mut values = at.values().to_vec();
        values[index] += step;
        let output = run(&Array::new(at.shape(), values));
        let products = output.values().iter().zip(weights.values()).map(|(y, w)| y * w);
        products.sum::<f64>()
    };
    let slope = |index| (value(index, STEP) - value(index, -STEP)) / (2.0 * STEP);
    Array::new(at.shape(), (0..at.values().len()).map(slope).collect())
}

/// Sums over an axis.
fn sum_axis<const D: usize>(array: &Array, axis: usize) -> Array {
    let shape: [usize; D] = array.dims();
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut sums = vec![0.0; outer * inner];
    for (index, value) in array.values().iter().enumerate() {
        sums[index / (inner * shape[axis]) * inner + index % inner] += value;
    }
    let mut shape = shape.to_vec();
    shape.remove(axis);
    Array::new(&shape, sums)
}

/// Runs a check on dense and on padded inputs.
fn benches<R: CubeRuntime>(device: &R::Device, mut run: impl FnMut(&mut Bench<R>)) {
    for padding in [0, 4, 3] {
        run(&mut Bench { device: device.clone(), generator: Generator::new(17), padding });
    }
}

/// Says why nothing was tested, or fails where it has to be.
fn skip(backend: &str, why: &str) {
    let required = std::env::var("SD_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == backend), "{backend} is required: {why}");
    eprintln!("skipped: {why} on this machine");
}

macro_rules! on {
    ($module:ident, $name:literal, $runtime:ty, $why:literal) => {
        mod $module {
            use super::*;

            pub(super) fn device() -> Option<<$runtime as cubecl::Runtime>::Device> {
                let device = Default::default();
                // Without a device the runtime panics when it is first asked for anything.
                let found = std::panic::catch_unwind(|| {
                    <$runtime as cubecl::Runtime>::client(&device).properties().hardware.clone()
                });
                if found.is_err() {
                    skip($name, $why);
                    return None;
                }
                Some(device)
            }

            on!(@tests $runtime, columns::columns, columns::spreads, columns::rows, norms::group_norms, norms::layer_norms,
                tails::sums, tails::one_row, tails::epilogues, tails::activations, attention::softmaxes);
        }
    };
    (@tests $runtime:ty, $($module:ident::$test:ident),*) => {
        $(
            #[test]
            fn $test() {
                if let Some(device) = device() {
                    benches::<$runtime>(&device, super::$module::$test);
                }
            }
        )*
    };
}

on!(wgpu, "wgpu", burn_wgpu::WgpuRuntime, "no adapter");

#[test]
fn wgpu_convolution_in_pieces() {
    if let Some(device) = wgpu::device() {
        convolution::pieces(&device);
    }
}

#[cfg(feature = "cuda")]
on!(cuda, "cuda", cubecl::cuda::CudaRuntime, "no NVIDIA driver");
