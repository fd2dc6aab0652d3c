//! Faults of stock Burn 0.21 that the default bodies work around. A test here fails when one is gone upstream.

use burn::tensor::{DType, Tensor, activation, ops::PadMode};
use burn_autodiff::Autodiff;
use burn_ndarray::NdArray;
use sd_kernels::testing::Array;

type Cpu = NdArray<f32>;

/// Whether an elementwise operation on a permuted tensor of which a clone is alive mixes up the elements.
fn reorders(
    operation: impl Fn(Tensor<Cpu, 2>) -> Tensor<Cpu, 2>,
    function: impl Fn(f64) -> f64,
) -> bool {
    let array = Array::from_fn([8, 16], |[row, column]| (row * 16 + column) as f64 - 63.5);
    let tensor = array.to_tensor::<Cpu, 2>(&Default::default(), DType::F32).permute([1, 0]);
    let alive = tensor.clone();
    let found = Array::from_data(operation(tensor).into_data());
    let differs =
        |row, column| (found.at([row, column]) - function(array.at([column, row]))).abs() > 1e-4;
    let reordered = (0..16).any(|row| (0..8).any(|column| differs(row, column)));
    drop(alive);
    reordered
}

#[test]
fn abs_and_recip_reorder_shared_permuted_tensors() {
    const GONE: &str = "burn #5552 is fixed: `abs` and `recip` may be used in default bodies again, \
        the workaround can go";
    assert!(reorders(Tensor::abs, f64::abs), "{GONE}");
    assert!(reorders(Tensor::recip, f64::recip), "{GONE}");
    // What the default bodies use instead is right.
    assert!(!reorders(|x| x.clone() * x, |x| x * x));
    assert!(!reorders(|x| x * 2.0, |x| x * 2.0));
}

#[test]
fn gelu_has_the_gradient_of_its_tanh_form() {
    let points = Array::new(&[2], vec![1.0, 2.0]);
    let x = points.to_tensor::<Autodiff<NdArray<f64>>, 1>(&Default::default(), DType::F64);
    let x = x.require_grad();
    let gradients = activation::gelu(x.clone()).sum().backward();
    let found = x.grad(&gradients).unwrap().into_data().to_vec::<f64>().unwrap();
    // Φ(x) + x φ(x).
    let exact = [1.083_315_470_587_686_4, 1.085_231_801_078_197];
    let error = exact.iter().zip(found).fold(0.0, |worst: f64, (e, f)| worst.max((e - f).abs()));
    assert!(
        error > 1e-5,
        "stock gelu differentiates exactly now (error {error:e}): the workaround can go"
    );
}

/// Which of the two is wrong depends on the backend that touched the device first.
#[test]
fn pad_takes_the_dtype_of_the_device() {
    let pads = |dtype: DType| {
        let x = Array::new(&[2, 2], vec![1.0; 4]).to_tensor::<Cpu, 2>(&Default::default(), dtype);
        let padded = || x.pad((0, 1, 0, 1), PadMode::Constant(0.0)).dtype() == dtype;
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(padded)).unwrap_or(false)
    };
    assert!(
        !(pads(DType::F32) && pads(DType::F64)),
        "`pad` keeps the dtype now: the workaround can go"
    );
}

#[test]
fn sigmoid_of_f64_is_computed_in_f32() {
    let x = Tensor::<NdArray<f64>, 1>::from_data([0.3], (&Default::default(), DType::F64));
    let error = activation::sigmoid(x).into_scalar() - 1.0 / (1.0 + (-0.3f64).exp());
    assert!(error.abs() > 1e-12, "`sigmoid` of f64 is exact now: the workaround can go");
}
