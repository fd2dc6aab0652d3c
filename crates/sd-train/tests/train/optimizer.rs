//! AdamW and clipping against PyTorch's.

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor, backend::Backend},
};
use sd_nn::checkpoint::AnyTensor;
use sd_train::{AdamWOptions, Gradients, Optimizer};

use crate::fixtures::{B, Golden, Inner};

#[derive(Module, Debug)]
struct One<B: Backend> {
    weight: Param<Tensor<B, 1>>,
}

sd_nn::impl_parameters!(One);

#[test]
fn adamw_behind_clipping_is_that_of_pytorch() {
    let golden = Golden::open("training/adamw.safetensors");
    let mut module = One { weight: Param::from_tensor(golden.tensor::<1>("start")) };
    let mut optimizer = Optimizer::<Inner>::new(AdamWOptions::default());
    let (steps, norms) = (golden.values("gradients"), golden.values("norms"));
    for ((gradient, expected), norm) in
        steps.chunks(7).zip(golden.values("values").chunks(7)).zip(norms)
    {
        let row = Tensor::<Inner, 1>::from_floats(gradient, &Default::default());
        let gradients = Gradients::new([("weight".to_owned(), AnyTensor::from(row))]);
        let (gradients, found) = gradients.clip_norm(5.0);
        assert!((found.unwrap().into_scalar() - norm).abs() < 1e-5);
        optimizer.step::<B>(1e-2, vec![("", &mut module)], &gradients).unwrap();
        let found: Vec<f32> = module.weight.val().to_data().to_vec().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
}

#[derive(Module, Debug)]
struct Two<B: Backend> {
    first: Param<Tensor<B, 1>>,
    second: Param<Tensor<B, 2>>,
}

sd_nn::impl_parameters!(Two);

fn gradient<const D: usize>(values: Tensor<Inner, D>, path: &str) -> (String, AnyTensor<Inner>) {
    (path.to_owned(), AnyTensor::from(values))
}

fn values<const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

/// A parameter makes its own steps, whatever moves beside it: those that another sits out, and those before another begins.
#[test]
fn what_has_no_gradient_stays_out_of_the_step() {
    let device = Default::default();
    let (first, second) = ([0.5, -1.0, 2.0], [[0.25, 4.0]]);
    let mut both =
        Two { first: Param::from_data(first, &device), second: Param::from_data(second, &device) };
    let mut alone = One { weight: Param::from_data(first, &device) };
    let mut together = Optimizer::<Inner>::new(AdamWOptions::default());
    let mut separate = Optimizer::<Inner>::new(AdamWOptions::default());
    for moving in [[true, false], [true, true], [false, true], [true, true], [true, false]] {
        let before = values(both.second.val());
        let gradients = || {
            let of_first =
                gradient(Tensor::<Inner, 1>::from_floats([1.0, 0.1, -3.0], &device), "first");
            let of_second =
                gradient(Tensor::<Inner, 2>::from_floats([[-0.5, 2.0]], &device), "second");
            [of_first, of_second].into_iter().zip(moving)
        };
        let given = gradients().filter(|(_, moves)| *moves).map(|(gradient, _)| gradient);
        together.step::<B>(1e-2, vec![("", &mut both)], &Gradients::new(given)).unwrap();
        let mut first = gradients().filter(|((path, _), moves)| *moves && path == "first");
        if let Some(((_, gradient), _)) = first.next() {
            let gradients = Gradients::new([("weight".to_owned(), gradient)]);
            separate.step::<B>(1e-2, vec![("", &mut alone)], &gradients).unwrap();
        }
        assert_eq!(values(both.first.val()), values(alone.weight.val()));
        assert_eq!(values(both.second.val()) != before, moving[1]);
    }
}

/// Steps that are too small for the type of a model's weights add up in the master weights. Types of 16 bits are not on the CPU;
/// f64 is another one than f32, too.
#[test]
fn weights_of_another_type_follow_master_weights_in_f32() {
    let device = Default::default();
    let start = Tensor::<B, 1>::from_data([0.1f64, -0.2], (&device, DType::F64));
    let mut double = One { weight: Param::from_tensor(start) };
    let start = Tensor::<B, 1>::from_data([0.1f32, -0.2], (&device, DType::F32));
    let mut single = One { weight: Param::from_tensor(start) };
    let step = |module: &mut One<B>, optimizer: &mut Optimizer<Inner>, dtype: DType| {
        let gradient = Tensor::<Inner, 1>::from_data([0.75f64, 0.125], (&device, dtype));
        let gradients = Gradients::new([("weight".to_owned(), AnyTensor::from(gradient))]);
        optimizer.step::<B>(1e-3, vec![("", module)], &gradients).unwrap();
    };
    let mut optimizers = [(); 2].map(|()| Optimizer::<Inner>::new(AdamWOptions::default()));
    for _ in 0..3 {
        step(&mut double, &mut optimizers[0], DType::F64);
        step(&mut single, &mut optimizers[1], DType::F32);
        let found: Vec<f64> = double.weight.val().into_data().to_vec().unwrap();
        let expected = values(single.weight.val());
        assert_eq!(found, expected.into_iter().map(f64::from).collect::<Vec<_>>());
    }
}
