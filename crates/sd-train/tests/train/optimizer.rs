//! AdamW and clipping against PyTorch's.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, backend::Backend},
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
        let mut gradients = Gradients::default();
        gradients.add("weight".into(), AnyTensor::from(row));
        let (gradients, found) = gradients.clip_norm(5.0);
        assert!((found.unwrap().into_scalar() - norm).abs() < 1e-5);
        optimizer.step::<B>(1e-2, "", &mut module, &gradients).unwrap();
        let found: Vec<f32> = module.weight.val().to_data().to_vec().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
}
