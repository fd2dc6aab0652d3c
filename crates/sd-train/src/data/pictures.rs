//! Batches of pictures.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use rayon::prelude::*;

use super::{DataError, Framing, ImageFolder};
use crate::draws::Choices;

/// A folder's pictures, all of one size.
#[derive(Debug)]
pub struct Pictures {
    source: Arc<Source>,
    /// The batch that is read while another is worked on.
    ahead: Mutex<Option<Ahead>>,
}

/// Where pictures come from, and how they are framed.
#[derive(Debug)]
struct Source {
    folder: ImageFolder,
    framing: Framing,
}

/// A batch that is being read.
#[derive(Debug)]
struct Ahead {
    examples: Vec<usize>,
    /// Of what is chosen for each of them.
    seeds: Vec<u64>,
    values: Receiver<Result<Vec<f32>, DataError>>,
}

impl Pictures {
    /// The pictures of a folder, framed.
    pub fn new(folder: ImageFolder, framing: Framing) -> Self {
        Self { source: Arc::new(Source { folder, framing }), ahead: Mutex::default() }
    }

    /// The folder.
    pub fn folder(&self) -> &ImageFolder {
        &self.source.folder
    }

    /// How they are framed.
    pub fn framing(&self) -> Framing {
        self.source.framing
    }

    /// Begins to read what a later [`batch`](Self::batch) of the same examples and choices gives.
    pub fn prepare(&self, examples: &[usize], mut choices: Choices) {
        let seeds = choices.each(examples.len(), Choices::seed);
        let (sender, values) = channel();
        let ahead = Ahead { examples: examples.to_vec(), seeds: seeds.clone(), values };
        let (source, examples) = (self.source.clone(), examples.to_vec());
        rayon::spawn(move || {
            // A panic here would end the process. Without an answer, the batch is read once more, and the panic is that of its reader.
            let values = catch_unwind(AssertUnwindSafe(|| source.values(&examples, &seeds)));
            if let Ok(values) = values {
                // Nobody may be waiting any more.
                let _ = sender.send(values);
            }
        });
        *self.ahead() = Some(ahead);
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
        let seeds = choices.each(examples.len(), Choices::seed);
        let ahead = self.ahead().take();
        let values = ahead
            .filter(|ahead| ahead.examples == examples && ahead.seeds == seeds)
            .and_then(|ahead| ahead.values.recv().ok());
        let values = values.unwrap_or_else(|| self.source.values(examples, &seeds))?;
        let [width, height] = self.framing().size.map(|side| side as usize);
        let data = TensorData::new(values, [examples.len(), 3, height, width]);
        Ok(Tensor::from_data(data, (device, DType::F32)))
    }

    fn ahead(&self) -> MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// `[batch, 3, height, width]`, −1 to 1.
    fn values(&self, examples: &[usize], seeds: &[u64]) -> Result<Vec<f32>, DataError> {
        let [width, height] = self.framing.size.map(|side| side as usize);
        let length = 3 * width * height;
        let mut values = vec![0.0; examples.len() * length];
        let places = values.par_chunks_exact_mut(length.max(1));
        places.zip(examples).zip(seeds).try_for_each(|((place, index), seed)| {
            let mut choices = Choices::of_seed(*seed);
            let picture = self.framing.apply(self.readable(*index)?, &mut choices);
            picture.write_planes(place);
            Ok(())
        })?;
        Ok(values)
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
