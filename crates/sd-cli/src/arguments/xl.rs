//! What concerns SDXL and its refiner.

use std::path::PathBuf;

use clap::Args;
use sd_core::{ImageToImage, Latents, Seeds, SizeConditions, TextToImage};

use crate::refiner::Second;

/// Options of SDXL. Models that do not read one of them refuse it.
#[derive(Debug, Args)]
#[command(next_help_heading = "SDXL")]
pub(crate) struct Xl {
    /// What the second text encoder reads [default: the prompt]
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pub(crate) prompt_2: Option<String>,
    /// What the second text encoder reads [default: the negative prompt]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) negative_prompt_2: Option<String>,
    /// Size that the image is to look like the original of, such as 1024x1024 [default: the image's]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) original_size: Option<[usize; 2]>,
    /// Pixels that were cut off at the top and at the left, such as 0,256 [default: none]
    #[arg(long, value_name = "T,L", value_parser = crop)]
    pub(crate) crops_coords_top_left: Option<[usize; 2]>,
    /// Size that the image was scaled to [default: the image's]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) target_size: Option<[usize; 2]>,
    /// Original size under the negative prompt
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) negative_original_size: Option<[usize; 2]>,
    /// Crop under the negative prompt
    #[arg(long, value_name = "T,L", value_parser = crop)]
    pub(crate) negative_crops_coords_top_left: Option<[usize; 2]>,
    /// Target size under the negative prompt
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) negative_target_size: Option<[usize; 2]>,
    /// How beautiful the refiner makes it, about 1 to 10 [default: 6]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) aesthetic_score: Option<f64>,
    /// The same under the negative prompt [default: 2.5]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) negative_aesthetic_score: Option<f64>,
    /// Stop after this share of the schedule, above 0 and up to 1; the refiner goes on from there [default: the whole]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub(crate) denoising_end: Option<f64>,
    /// A refiner, given as the model is, which goes on after it with the next seed; another model of SDXL will do, too
    #[arg(long, value_name = "MODEL")]
    pub(crate) refiner: Option<PathBuf>,
    /// How much the refiner makes anew without --denoising-end, 0 to 1 [default: 0.3]
    #[arg(
        long,
        value_name = "S",
        requires = "refiner",
        conflicts_with = "denoising_end",
        allow_negative_numbers = true
    )]
    pub(crate) refiner_strength: Option<f64>,
}

impl Xl {
    /// Brings the options into a request.
    pub(crate) fn apply(&self, request: TextToImage) -> TextToImage {
        let list = |text: &Option<String>| text.iter().cloned().collect();
        let mut request = request
            .prompts_2(list(&self.prompt_2))
            .negative_prompts_2(list(&self.negative_prompt_2));
        request.denoising_end = self.denoising_end;
        let sizes = &mut request.sizes;
        sizes.original_size = self.original_size;
        sizes.crops_coords_top_left = self.crops_coords_top_left;
        sizes.target_size = self.target_size;
        sizes.negative_original_size = self.negative_original_size;
        sizes.negative_crops_coords_top_left = self.negative_crops_coords_top_left;
        sizes.negative_target_size = self.negative_target_size;
        // Scores are the refiner's, if there is one.
        if self.refiner.is_none() {
            self.set_scores(sizes);
        }
        request
    }

    /// The second model's request, given that of the first and its latents.
    pub(crate) fn refinement(
        &self,
        request: &TextToImage,
        latents: Latents,
        second: Second,
    ) -> ImageToImage {
        let mut text = request.clone();
        if second == Second::Refiner {
            // It has one text encoder, and reads a score in the place of the target size.
            text.prompts_2.clear();
            text.negative_prompts_2.clear();
            text.sizes.target_size = None;
            text.sizes.negative_target_size = None;
            self.set_scores(&mut text.sizes);
        }
        // Of its own: the same seed would draw the noise once more that the model started from.
        text.seeds = next(text.seeds);
        // The noise that the model started from is not the refiner's.
        text.latents = None;
        text.size = None;
        let start = text.denoising_end.take();
        let request = ImageToImage::new(latents, text);
        match (start, self.refiner_strength) {
            (Some(start), _) => request.denoising_start(start),
            (None, Some(strength)) => request.strength(strength),
            (None, None) => request,
        }
    }

    fn set_scores(&self, sizes: &mut SizeConditions) {
        sizes.aesthetic_score = self.aesthetic_score;
        sizes.negative_aesthetic_score = self.negative_aesthetic_score;
    }
}

/// The seeds after these.
fn next(seeds: Seeds) -> Seeds {
    match seeds {
        Seeds::Batch(seed) => Seeds::Batch(seed.wrapping_add(1)),
        Seeds::PerImage(seeds) => {
            Seeds::PerImage(seeds.into_iter().map(|seed| seed.wrapping_add(1)).collect())
        }
    }
}

/// `WIDTHxHEIGHT`.
fn size(text: &str) -> Result<[usize; 2], String> {
    pair(text, 'x').ok_or_else(|| "expected WIDTHxHEIGHT, such as 1024x768".to_owned())
}

/// `TOP,LEFT`.
fn crop(text: &str) -> Result<[usize; 2], String> {
    pair(text, ',').ok_or_else(|| "expected TOP,LEFT, such as 0,256".to_owned())
}

fn pair(text: &str, between: char) -> Option<[usize; 2]> {
    let (first, second) = text.split_once(between)?;
    Some([first.trim().parse().ok()?, second.trim().parse().ok()?])
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sd_core::Request;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        xl: Xl,
    }

    /// Nothing that the second model reads is dropped, and its noise is not the first one's.
    #[test]
    fn a_second_model_gets_what_it_reads() {
        let line = ["sd", "--prompt-2", "in oil", "--target-size", "8x8", "--denoising-end", "0.5"];
        let xl = Only::parse_from(line).xl;
        let first = xl.apply(TextToImage::new("a cat").seed(u64::MAX));
        #[allow(clippy::unwrap_used)]
        let latents = || Latents::new([1, 1, 1, 1], vec![0.0]).unwrap();
        let base = xl.refinement(&first, latents(), Second::Base);
        let text = Request::from(&base).text();
        assert_eq!((&text.prompts_2, &text.sizes), (&first.prompts_2, &first.sizes));
        assert_eq!((&text.seeds, base.denoising_start), (&Seeds::Batch(0), Some(0.5)));
        let refiner = xl.refinement(&first.seed(vec![7]), latents(), Second::Refiner);
        assert!(refiner.text.prompts_2.is_empty() && refiner.text.sizes.target_size.is_none());
        assert_eq!(refiner.text.seeds, Seeds::PerImage(vec![8]));
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("1024x768"), Ok([1024, 768]));
        assert_eq!(crop("0,256"), Ok([0, 256]));
        for wrong in ["1024", "1024x", "x1", "-1x2", "1x2x3", "1,2"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
