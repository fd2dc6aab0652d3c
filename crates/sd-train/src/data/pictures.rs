//! Batches of pictures.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use rayon::prelude::*;

use super::{DataError, Framing, ImageFolder, Picture};
use crate::draws::Choices;

/// A folder's pictures, all of one size.
#[derive(Debug)]
pub struct Pictures {
    folder: ImageFolder,
    framing: Framing,
}

impl Pictures {
    /// The pictures of a folder, framed.
    pub fn new(folder: ImageFolder, framing: Framing) -> Self {
        Self { folder, framing }
    }

    /// The folder.
    pub fn folder(&self) -> &ImageFolder {
        &self.folder
    }

    /// How they are framed.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Some of the pictures, `[batch, 3, height, width]`, −1 to 1. They are decoded at the same time. One that turns out to be
    /// broken is logged, and the next one taken in its place.
    ///
    /// # Errors
    /// When no picture can be read.
    pub fn batch<B: Backend>(
        &self,
        examples: &[usize],
        choices: &mut Choices,
        device: &B::Device,
    ) -> Result<Tensor<B, 4>, DataError> {
        let choices = choices.each(examples.len(), Choices::fork);
        let pictures: Vec<Picture> = examples
            .par_iter()
            .zip(choices)
            .map(|(index, mut choices)| {
                Ok(self.framing.apply(self.readable(*index)?, &mut choices))
            })
            .collect::<Result<_, DataError>>()?;
        let [width, height] = self.framing.size.map(|side| side as usize);
        let mut values = Vec::with_capacity(pictures.len() * 3 * width * height);
        pictures.iter().for_each(|picture| picture.write_planes(&mut values));
        let data = TensorData::new(values, [pictures.len(), 3, height, width]);
        Ok(Tensor::from_data(data, (device, DType::F32)))
    }

    fn readable(&self, index: usize) -> Result<image::RgbImage, DataError> {
        let count = self.folder.len();
        let mut last = None;
        for index in (0..count).map(|next| (index + next) % count) {
            match self.folder.picture(index) {
                Ok(image) => return Ok(image),
                Err(error) => {
                    tracing::warn!(%error, "the next picture is taken in its place");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(DataError::Empty { path: Default::default(), skipped: count }))
    }
}
