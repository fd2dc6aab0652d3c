//! What a picture's size was and is to be, for models that were trained with it.

use serde::{Deserialize, Serialize};

use super::{RequestError, finite};

/// The aesthetic scores that diffusers takes for the prompt and for the negative prompt.
const AESTHETIC_SCORES: [f64; 2] = [6.0, 2.5];

/// Numbers about the picture that SDXL is conditioned on (<https://arxiv.org/abs/2307.01952>, section 2.2). Sizes are width
/// and height in pixels, as [`size`](super::TextToImage::size).
///
/// Those of the negative prompt are the prompt's as long as none is given; then an original or target size that is not given
/// is the prompt's, and a crop that is not given the upper left corner. For the refiner, the negative prompt's crop is always
/// the upper left corner if it is not given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SizeConditions {
    /// Size before the picture was scaled for training; small ones make it blurred. Default: that of the picture.
    pub original_size: Option<[usize; 2]>,
    /// How far from the top and from the left the picture was cut out, in pixels. Default: not at all.
    pub crops_coords_top_left: Option<[usize; 2]>,
    /// Size that the picture was scaled to. Default: that of the picture.
    pub target_size: Option<[usize; 2]>,
    /// [`original_size`](Self::original_size) of the negative prompt.
    pub negative_original_size: Option<[usize; 2]>,
    /// [`crops_coords_top_left`](Self::crops_coords_top_left) of the negative prompt.
    pub negative_crops_coords_top_left: Option<[usize; 2]>,
    /// [`target_size`](Self::target_size) of the negative prompt.
    pub negative_target_size: Option<[usize; 2]>,
    /// How beautiful the picture is to be, about 1 to 10, for the refiner. Default: 6.
    pub aesthetic_score: Option<f64>,
    /// [`aesthetic_score`](Self::aesthetic_score) of the negative prompt. Default: 2.5.
    pub negative_aesthetic_score: Option<f64>,
}

/// Which numbers a model wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeScalars {
    /// None.
    None,
    /// Original size, crop and target size (SDXL).
    Sizes,
    /// Original size, crop and aesthetic score (its refiner).
    Aesthetic,
}

impl SizeScalars {
    /// How many numbers these are.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sizes => 6,
            Self::Aesthetic => 5,
        }
    }
}

/// The numbers for the prompt and for the negative prompt, as models read them: heights before widths.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeIds {
    pub(crate) positive: Vec<f64>,
    pub(crate) negative: Vec<f64>,
}

impl SizeConditions {
    pub(super) fn validate(&self) -> Result<(), RequestError> {
        let range = f64::NEG_INFINITY..=f64::INFINITY;
        let scores = [
            ("aesthetic_score", self.aesthetic_score),
            ("negative_aesthetic_score", self.negative_aesthetic_score),
        ];
        let mut given = scores.into_iter().filter_map(|(name, score)| Some((name, score?)));
        given.try_for_each(|(name, score)| finite(name, score, range.clone()))
    }

    /// The numbers for a picture of this width and height, if the model wants any.
    ///
    /// # Errors
    /// When one is given that the model does not read.
    pub(crate) fn time_ids(
        &self,
        size: [usize; 2],
        wanted: SizeScalars,
    ) -> Result<Option<TimeIds>, RequestError> {
        self.check(wanted)?;
        let original = self.original_size.unwrap_or(size);
        let target = self.target_size.unwrap_or(size);
        let crop = self.crops_coords_top_left.unwrap_or_default();
        let negative_original = self.negative_original_size.unwrap_or(original);
        let negative_crop = self.negative_crops_coords_top_left.unwrap_or_default();
        let negative_target = self.negative_target_size.unwrap_or(target);
        let [score, negative_score] = AESTHETIC_SCORES;
        Ok(match wanted {
            SizeScalars::None => None,
            SizeScalars::Sizes => {
                let positive = [rows(original), numbers(crop), rows(target)].concat();
                let negative = match self.negative_given() {
                    true => {
                        [rows(negative_original), numbers(negative_crop), rows(negative_target)]
                            .concat()
                    }
                    false => positive.clone(),
                };
                Some(TimeIds { positive, negative })
            }
            // Here the crop of the negative prompt is never that of the prompt, in diffusers too.
            SizeScalars::Aesthetic => {
                let score = self.aesthetic_score.unwrap_or(score);
                let negative_score = self.negative_aesthetic_score.unwrap_or(negative_score);
                let ids = |size, crop, score| [rows(size), numbers(crop), vec![score]].concat();
                Some(TimeIds {
                    positive: ids(original, crop, score),
                    negative: ids(negative_original, negative_crop, negative_score),
                })
            }
        })
    }

    fn negative_given(&self) -> bool {
        self.negative_original_size.is_some()
            || self.negative_crops_coords_top_left.is_some()
            || self.negative_target_size.is_some()
    }

    /// Refuses what the model does not read.
    fn check(&self, wanted: SizeScalars) -> Result<(), RequestError> {
        let sizes = [
            ("original_size", self.original_size.is_some()),
            ("crops_coords_top_left", self.crops_coords_top_left.is_some()),
            ("negative_original_size", self.negative_original_size.is_some()),
            ("negative_crops_coords_top_left", self.negative_crops_coords_top_left.is_some()),
        ];
        let targets = [
            ("target_size", self.target_size.is_some()),
            ("negative_target_size", self.negative_target_size.is_some()),
        ];
        let scores = [
            ("aesthetic_score", self.aesthetic_score.is_some()),
            ("negative_aesthetic_score", self.negative_aesthetic_score.is_some()),
        ];
        let unread = match wanted {
            SizeScalars::None => [&sizes[..], &targets[..], &scores[..]].concat(),
            SizeScalars::Sizes => scores.to_vec(),
            SizeScalars::Aesthetic => targets.to_vec(),
        };
        match unread.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(RequestError::NotForModel { name, reason: "it was trained without" })
            }
            None => Ok(()),
        }
    }
}

/// Width and height as height and width.
fn rows([width, height]: [usize; 2]) -> Vec<f64> {
    numbers([height, width])
}

fn numbers(pair: [usize; 2]) -> Vec<f64> {
    pair.map(|value| value as f64).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(conditions: &SizeConditions, wanted: SizeScalars) -> TimeIds {
        conditions.time_ids([640, 480], wanted).unwrap().unwrap()
    }

    #[test]
    fn heights_come_before_widths() {
        let conditions = SizeConditions {
            original_size: Some([3, 2]),
            crops_coords_top_left: Some([5, 6]),
            ..Default::default()
        };
        let base = ids(&conditions, SizeScalars::Sizes);
        assert_eq!(base.positive, [2.0, 3.0, 5.0, 6.0, 480.0, 640.0]);
        assert_eq!(base.negative, base.positive);
        let refiner = ids(&conditions, SizeScalars::Aesthetic);
        assert_eq!(refiner.positive, [2.0, 3.0, 5.0, 6.0, 6.0]);
        assert_eq!(refiner.negative, [2.0, 3.0, 0.0, 0.0, 2.5]);
        let negative = SizeConditions { negative_target_size: Some([8, 7]), ..conditions };
        let base = ids(&negative, SizeScalars::Sizes);
        assert_eq!(base.negative, [2.0, 3.0, 0.0, 0.0, 7.0, 8.0]);
    }

    #[test]
    fn what_a_model_does_not_read_is_refused() {
        let refused = |conditions: &SizeConditions, wanted| {
            conditions.time_ids([8, 8], wanted).unwrap_err().to_string()
        };
        let score = SizeConditions { aesthetic_score: Some(5.0), ..Default::default() };
        let target = SizeConditions { negative_target_size: Some([8, 8]), ..Default::default() };
        assert!(refused(&score, SizeScalars::Sizes).contains("aesthetic_score"));
        assert!(refused(&target, SizeScalars::Aesthetic).contains("negative_target_size"));
        assert!(refused(&target, SizeScalars::None).contains("negative_target_size"));
        assert_eq!(SizeConditions::default().time_ids([8, 8], SizeScalars::None), Ok(None));
        let broken = SizeConditions { aesthetic_score: Some(f64::NAN), ..Default::default() };
        assert!(broken.validate().unwrap_err().to_string().contains("aesthetic_score"));
    }
}
