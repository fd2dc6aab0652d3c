//! Decoding large images piece by piece, so that memory follows the tile and not the image.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use sd_kernels::DiffusionBackend;

use crate::{AutoencoderKL, AutoencoderKLConfig, VaeError};

/// A tile overlaps the next by one of so many parts, as in diffusers (`tile_overlap_factor`).
const OVERLAP_PARTS: usize = 4;

impl AutoencoderKLConfig {
    /// Side of a tile in latents: that of the images that the model was trained on.
    pub fn tile_size(&self) -> usize {
        (self.sample_size.height.max(self.sample_size.width) / self.factor()).max(1)
    }
}

/// Where tiles lie.
#[derive(Debug, Clone, Copy)]
struct Tiling {
    /// Side of a tile in latents.
    size: usize,
    /// From one tile to the next, in latents.
    stride: usize,
    /// Pixels for each latent.
    factor: usize,
}

impl Tiling {
    fn new(config: &AutoencoderKLConfig) -> Self {
        let size = config.tile_size();
        Self { size, stride: size - size / OVERLAP_PARTS, factor: config.factor() }
    }

    /// Pixels in which a tile is mixed with the one before.
    fn blended(&self) -> usize {
        (self.size - self.stride) * self.factor
    }

    /// The tile that begins at these latents.
    fn cut<B: Backend>(&self, latents: &Tensor<B, 4>, top: usize, left: usize) -> Tensor<B, 4> {
        let [_, _, height, width] = latents.dims();
        let rows = latents.clone().narrow(2, top, self.size.min(height - top));
        rows.narrow(3, left, self.size.min(width - left))
    }

    /// A decoded tile without what the next ones begin with.
    fn crop<B: Backend>(&self, tile: &Tensor<B, 4>) -> Tensor<B, 4> {
        let [_, _, height, width] = tile.dims();
        let limit = self.stride * self.factor;
        tile.clone().narrow(2, 0, limit.min(height)).narrow(3, 0, limit.min(width))
    }
}

impl<B: DiffusionBackend> AutoencoderKL<B> {
    /// Decodes latents in tiles of the size that the model was trained on, overlapping by a quarter and mixed there
    /// (diffusers' `tiled_decode`). Latents that fit in one tile are decoded as [`decode`](Self::decode) does it. Norms see
    /// one tile at a time, so tiles may differ in tone.
    ///
    /// # Shapes
    /// - as [`decode`](Self::decode)
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_tiled(&self, latents: Tensor<B, 4>) -> Result<Tensor<B, 4>, VaeError> {
        let tiling = Tiling::new(self.config());
        let [_, _, height, width] = latents.dims();
        if height <= tiling.size && width <= tiling.size {
            return self.decode(latents);
        }
        let mut above: Vec<Tensor<B, 4>> = Vec::new();
        let mut image = Vec::new();
        for top in (0..height).step_by(tiling.stride) {
            let mut row: Vec<Tensor<B, 4>> = Vec::new();
            for (column, left) in (0..width).step_by(tiling.stride).enumerate() {
                let tile = self.decode(tiling.cut(&latents, top, left))?;
                let tile = blend(above.get(column), tile, 2, tiling.blended());
                row.push(blend(row.last(), tile, 3, tiling.blended()));
            }
            image.push(Tensor::cat(row.iter().map(|tile| tiling.crop(tile)).collect(), 3));
            above = row;
        }
        Ok(Tensor::cat(image, 2))
    }
}

/// Lets a tile's beginning along a dimension come out of the end of the one before.
fn blend<B: Backend>(
    before: Option<&Tensor<B, 4>>,
    tile: Tensor<B, 4>,
    dim: usize,
    extent: usize,
) -> Tensor<B, 4> {
    let Some(before) = before else { return tile };
    let (end, length) = (before.dims()[dim], tile.dims()[dim]);
    let extent = extent.min(end).min(length);
    if extent == 0 {
        return tile;
    }
    let mut shape = [1; 4];
    shape[dim] = extent;
    let ramp: Vec<f32> = (0..extent).map(|pixel| pixel as f32 / extent as f32).collect();
    let data = TensorData::new(ramp, shape);
    let ramp = Tensor::<B, 4>::from_data(data, (&tile.device(), DType::F32)).cast(tile.dtype());
    let fading = before.clone().narrow(dim, end - extent, extent);
    let coming = tile.clone().narrow(dim, 0, extent);
    let mixed = fading.clone() + (coming - fading) * ramp;
    if extent == length {
        return mixed;
    }
    Tensor::cat(vec![mixed, tile.narrow(dim, extent, length - extent)], dim)
}
