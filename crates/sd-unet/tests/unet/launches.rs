//! Nothing is launched but through the operations of `DiffusionBackend`.

use burn::tensor::Tensor;
use sd_kernels::testing::{Counting, Launches, count_launches};
use sd_unet::UNetInput;

use crate::fixtures::{self, Golden};

/// The output is laid out as its shape says, behind the captured part.
const OUTPUT: usize = 1;

/// What a call launches once all weights are in place.
fn launches(folder: &str, file: &str, prefix: &str) -> Launches {
    launches_after(folder, file, prefix, |input| input)
}

/// The same after a change of the input.
fn launches_after(
    folder: &str,
    file: &str,
    prefix: &str,
    change: fn(UNetInput<Counting>) -> UNetInput<Counting>,
) -> Launches {
    let model = fixtures::model::<Counting>(folder);
    let golden = Golden::open(file, prefix);
    // The first call draws nothing, but brings each weight into its final form.
    model.forward(golden.input()).unwrap();
    let input = change(golden.input());
    count_launches(|| model.forward(input).unwrap())
}

#[test]
fn a_plain_call_launches_operations_only() {
    for prefix in ["plain/", "odd_size/"] {
        let launches = launches("tiny-sd1/unet", "unet_sd1.safetensors", prefix);
        assert!(launches.inside > 100, "{launches:?}");
        assert_eq!(launches.stray.len(), OUTPUT, "{prefix}: {:?}", launches.stray);
        // The features of the timestep.
        assert_eq!(launches.uploads, 1, "{prefix}");
    }
}

/// Seven residuals are laid out anew at the border, unless they come from a channels-last model.
#[test]
fn residuals_are_copied_at_the_border_only() {
    let (folder, file) = ("tiny-sd1/unet", "unet_sd1.safetensors");
    let copied = launches(folder, file, "residuals/");
    assert_eq!(copied.stray.len(), 7 + OUTPUT, "{:?}", copied.stray);
    let launches = launches_after(folder, file, "residuals/", |mut input| {
        let relaid = |image: &mut Tensor<Counting, 4>| {
            let [batch, channels, height, width] = image.dims();
            let dense = Tensor::zeros([batch, height, width, channels], &image.device());
            *image = dense.permute([0, 3, 1, 2]);
        };
        let residuals = input.residuals.as_mut().unwrap();
        residuals.down.iter_mut().chain(&mut residuals.mid).for_each(relaid);
        input
    });
    assert_eq!(launches.stray.len(), OUTPUT, "{:?}", launches.stray);
}

#[test]
fn every_kind_strays_only_at_the_border() {
    for (kind, border) in [
        ("refiner", 1), // text beside the features of the sizes
        ("sdxl", 1),
        ("upscaler", 1), // the class in its table
        ("class-identity", 0),
        ("class-projection", 0),
        ("class-timestep", 0),
        ("guidance-embedding", 0),
        ("mid-none", 0),
        ("only-cross-attention", 0),
        ("scale-shift", 0),
        ("unusual-numbers", 2), // centring
    ] {
        let folder = format!("unets/{kind}");
        let launches = launches(&folder, &format!("{folder}/golden.safetensors"), "");
        assert_eq!(launches.stray.len(), border + OUTPUT, "{kind}: {:?}", launches.stray);
    }
}
