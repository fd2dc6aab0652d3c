//! Averaged weights, and sources that forget.

use super::*;

#[test]
fn averaged_weights_are_a_choice() {
    let mut shapes = listed().remove(0).shapes();
    let averaged: Vec<_> = shapes
        .iter()
        .filter_map(|(name, shape)| {
            Some((name.strip_prefix("model.")?.replace('.', ""), shape.clone()))
        })
        .map(|(name, shape)| (format!("model_ema.{name}"), shape))
        .collect();
    shapes.extend(averaged);
    shapes.insert("model_ema.decay".into(), vec![]);
    for (ema, key) in [
        (false, "model.diffusion_model.out.2.weight"),
        (true, "model_ema.diffusion_modelout2weight"),
    ] {
        let file = single(shapes.clone(), &SingleFileOptions::default().ema(ema));
        assert!(file.has_ema() && file.unused().is_empty());
        assert_eq!(file.component("unet").unwrap().key("conv_out.weight"), Some(key));
    }
}

/// What was not trained has no average.
#[test]
fn weights_without_an_average_are_the_plain_ones() {
    let mut shapes = listed().remove(0).shapes();
    let plain = single(shapes.clone(), &SingleFileOptions::default());
    let wanted = plain.component("unet").unwrap().names();
    shapes.insert("model_ema.diffusion_modelout2weight".into(), vec![4, 320, 3, 3]);
    let file = single(shapes, &SingleFileOptions::default().ema(true));
    let unet = file.component("unet").unwrap();
    assert_eq!(unet.names(), wanted);
    assert!(wanted.iter().all(|name| unet.info(name).is_some()));
    assert_eq!(unet.key("conv_out.weight"), Some("model_ema.diffusion_modelout2weight"));
    assert_eq!(unet.key("conv_out.bias"), Some("model.diffusion_model.out.2.bias"));
    assert_eq!(tensors_of(unet).unwrap().len(), wanted.len());
}

/// Names of which it knows nothing.
struct Forgetful;

impl WeightSource for Forgetful {
    fn origin(&self) -> String {
        "memory".into()
    }
    fn names(&self) -> Vec<String> {
        vec!["weight".into()]
    }
    fn info(&self, _: &str) -> Option<TensorInfo> {
        None
    }
    fn read(&self, name: &str, _: DType) -> Result<TensorData, CheckpointError> {
        panic!("{name} was read")
    }
}

#[test]
fn tensors_of_which_nothing_is_known_are_not_left_out() {
    let error = tensors_of(&Forgetful).unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchTensor { name, .. } if name == "weight"));
}
