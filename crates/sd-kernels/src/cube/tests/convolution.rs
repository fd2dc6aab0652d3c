//! Convolutions whose columns are made in pieces.

use burn::tensor::{Distribution, Tensor};
use burn_cubecl::CubeBackend;
use burn_wgpu::WgpuRuntime;

use super::super::convolution::product;
use crate::{Conv2dOptions, ConvInput, Padding};

type Wgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

/// By samples and by rows, the same as in one.
pub(super) fn pieces(device: &burn_wgpu::WgpuDevice) {
    let normal = Distribution::Normal(0.0, 1.0);
    let random = |shape: [usize; 4]| Tensor::<Wgpu, 4>::random(shape, normal, device);
    let input = ConvInput {
        upsample: Some([9, 8]),
        ..ConvInput::pair(random([3, 5, 4, 4]), random([3, 5, 4, 2]))
    };
    let weight = random([7, 3, 3, 6]);
    let options = Conv2dOptions { stride: 2, padding: Padding::same(1) };
    let values = |limit: usize| {
        let output = product(input.clone(), weight.clone(), options, limit);
        assert_eq!(output.dims(), [3, 5, 4, 7]);
        output.into_data().to_vec::<f32>().unwrap()
    };
    let whole = values(usize::MAX);
    // A row of a sample's columns has 4 · 54 elements, a sample five of them.
    for limit in [2 * 5 * 216, 5 * 216, 2 * 216, 1] {
        let pieces = values(limit).into_iter().zip(&whole);
        let most = pieces.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(most < 1e-4, "{limit}: {most}");
    }
}
