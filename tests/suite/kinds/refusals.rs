//! Requests that do not fit the kind of model.

use image::{GrayImage, RgbImage};
use sd_core::{
    DepthMap, DepthToImage, ImageToImage, Request, SizeConditions, TextToImage, Upscale,
    backend::Cpu,
};

use super::load;

fn text() -> TextToImage {
    TextToImage::new("a cat").steps(2)
}

fn depth(image: GrayImage) -> DepthToImage {
    let request = ImageToImage::new(RgbImage::new(16, 8), text()).strength(0.5);
    DepthToImage::new(request, DepthMap::from_image(&image).unwrap())
}

fn slope() -> GrayImage {
    GrayImage::from_fn(5, 4, |x, y| image::Luma([(10 * x + y) as u8]))
}

#[test]
fn requests_of_another_kind_are_refused() {
    let models = ["tiny-sd2", "tiny-sd2-depth", "tiny-upscaler"]
        .map(|name| load::<Cpu>(name, &Default::default()));
    let (text, image) = (text(), ImageToImage::new(RgbImage::new(16, 8), text()).strength(0.5));
    let (depth, upscale) = (depth(slope()), Upscale::new(RgbImage::new(4, 3), text.clone()));
    let fits = |request: Request<'_>| models.each_ref().map(|model| model.run(request).is_ok());
    assert_eq!(fits((&text).into()), [true, false, false]);
    assert_eq!(fits((&image).into()), [true, false, false]);
    assert_eq!(fits((&depth).into()), [false, true, false]);
    assert_eq!(fits((&upscale).into()), [false, false, true]);
    let error = models[1].run(&text).unwrap_err().to_string();
    assert!(error.contains("reads 1 channels beside the latents"), "{error}");
}

#[test]
fn what_a_kind_cannot_take_is_refused() {
    let depth_model = load::<Cpu>("tiny-sd2-depth", &Default::default());
    let error = depth_model.run(&depth(GrayImage::new(5, 4))).unwrap_err().to_string();
    assert!(error.contains("equally far away"), "{error}");
    let two = depth(slope()).depths(Vec::new());
    assert!(depth_model.run(&two).unwrap_err().to_string().contains("0 sources for 1"));

    let upscaler = load::<Cpu>("tiny-upscaler", &Default::default());
    let request = Upscale::new(RgbImage::new(4, 3), text());
    let error = |request: Upscale| upscaler.run(&request).unwrap_err().to_string();
    assert!(
        error(request.clone().noise_level(49)).contains("noise_level is 49, expected at most 48")
    );
    assert!(error(request.clone().images(Vec::new())).contains("0 sources for 1"));
    let mut other = request.clone();
    other.text.size = Some([16, 16]);
    assert!(error(other).contains("the source is 16 by 12 pixels"));
    let mut other = request.clone();
    other.text.sizes = SizeConditions::default();
    other.text = other.text.original_size(8, 8);
    assert!(error(other).contains("original_size"));
    let image = upscaler.generate(&request).unwrap().remove(0);
    assert_eq!(image.dimensions(), (16, 12));
}
