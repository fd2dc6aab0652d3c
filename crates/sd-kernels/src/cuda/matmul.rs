//! Products with weights, with an epilogue: what linear layers and convolutions have in common.

use std::{cell::RefCell, collections::HashMap};

use burn::tensor::{DType, Tensor, backend::Backend};
use burn_cubecl::tensor::CubeTensor;
use cubecl::{
    cuda::CudaRuntime,
    server::{Handle, TensorMapBinding},
};

use super::{
    Primitive,
    instructions::{Left, multiply},
    raw::{Arguments, Kernel, Recipe, launch},
    tail::{Parts, Tail, activation_number},
    tiles::{Cut, Extent, ROWS, STEP, cut},
};
use crate::cube;

/// What is left of shared memory for the places of tiles: 227 KiB less the room of the epilogue and of barriers.
const SHARED: usize = 227 * 1024 - STAGES - 512;

/// Room in which warps turn sums into rows.
const STAGES: usize = 8 * 16 * 40 * 4;

/// Most tiles in flight.
const MOST_SLOTS: usize = 8;

/// The constants of `matmul.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Matmul {
    pub(super) cut: Cut,
    pub(super) convolution: bool,
    pub(super) pair: bool,
    pub(super) parts: Parts,
    /// Whether rows of the output begin on 16 bytes.
    pub(super) vector: bool,
    /// Whether the output is of f32.
    pub(super) wide: bool,
    pub(super) bfloat: bool,
}

impl Matmul {
    fn slot(self) -> usize {
        (ROWS + self.cut.columns) * STEP * 2
    }

    fn slots(self) -> usize {
        (SHARED / self.slot()).min(MOST_SLOTS)
    }
}

impl Recipe for Matmul {
    const TEXT: &'static str = include_str!("kernels/matmul.cu");

    fn constants(&self) -> Vec<(&'static str, usize)> {
        let Self { cut, parts, .. } = self;
        vec![
            ("BN", cut.columns),
            ("SLOTS", self.slots()),
            ("ALTERNATE", cut.alternate.into()),
            ("SPLIT", (cut.splits > 1).into()),
            ("CONVOLUTION", self.convolution.into()),
            ("PAIR", self.pair.into()),
            ("GATED", parts.gated.into()),
            ("BIAS", parts.bias.into()),
            ("ADD", parts.add.into()),
            ("MUL", parts.mul.into()),
            ("RESIDUAL", parts.residual.into()),
            ("ACTIVATION", activation_number(parts.activation)),
            ("VECTOR", self.vector.into()),
            ("WIDE", self.wide.into()),
            ("BFLOAT", self.bfloat.into()),
        ]
    }

    fn instructions(&self) -> String {
        let element = if self.bfloat { "bf16" } else { "f16" };
        multiply("multiply", self.cut.columns, element, Left::Shared)
    }

    fn entry(&self) -> &'static str {
        "matmul"
    }

    fn threads(&self) -> u32 {
        384
    }

    fn shared(&self) -> usize {
        self.slots() * (self.slot() + 16) + STAGES + 16
    }
}

/// Numbers that only a convolution has, in the order of `matmul.cu`'s.
pub(super) type Geometry = [usize; 14];

/// A product that is ready to be launched.
pub(super) struct Product {
    /// Rows and columns of the output, and rows of a sample.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) positions: usize,
    pub(super) row_tiles: usize,
    pub(super) steps: usize,
    /// Of the inputs.
    pub(super) dtype: DType,
    /// Whether it is a convolution, and of two inputs.
    pub(super) convolution: Option<Geometry>,
    pub(super) pair: bool,
}

impl Product {
    /// The cut for the device of a tensor.
    pub(super) fn cut(&self, like: &Primitive, gated: bool) -> Cut {
        cut(Extent {
            row_tiles: self.row_tiles,
            columns: self.columns,
            steps: self.steps,
            gated,
            processors: processors(like),
        })
    }

    /// Launches the product. `maps` are those of the inputs and of the weight.
    pub(super) fn launch(
        self,
        output: &Primitive,
        cut: Cut,
        tail: &Tail,
        maps: Vec<TensorMapBinding>,
    ) {
        let parts = tail.parts();
        let recipe = Matmul {
            cut,
            convolution: self.convolution.is_some(),
            pair: self.pair,
            parts,
            vector: tail.is_vector(self.columns),
            wide: output.dtype == DType::F32,
            bfloat: self.dtype == DType::BF16,
        };
        let column_tiles = self.columns.div_ceil(cut.output_columns(parts.gated));
        let total = self.row_tiles * column_tiles * cut.splits;
        let mut buffers = vec![output.handle.clone().binding()];
        buffers.extend(tail.buffers());
        if cut.splits > 1 {
            let cells = self.row_tiles * column_tiles * if cut.alternate { 1 } else { 2 };
            let part = cut.columns * ROWS / if cut.alternate { 1 } else { 2 };
            let sums = output.client.empty(cells * cut.splits * part * size_of::<f32>());
            buffers.extend([sums.binding(), counters(output, cells).binding()]);
        }
        let scales = [tail.scale, tail.output_scale].map(|scale| (scale as f32).to_bits() as usize);
        let sizes = [
            self.rows,
            self.columns,
            self.positions.max(1),
            self.row_tiles,
            column_tiles,
            self.steps,
            cut.splits,
        ];
        let info = sizes
            .into_iter()
            .chain(self.convolution.unwrap_or_default())
            .chain(tail.places())
            .chain([tail.residual_pitch()])
            .chain(scales)
            .chain([total])
            .map(|number| number as u64)
            .collect();
        let grid = [processors(output).min(total), 1, 1];
        launch(&output.client, Kernel::of(&recipe), grid, Arguments { maps, buffers, info });
    }
}

/// How many blocks have left their part of a sum, for so many sums: zeros, to which kernels bring them back. CubeCL has a stream for each
/// thread, on which one kernel follows another, so they are a thread's own.
fn counters(like: &Primitive, cells: usize) -> Handle {
    const FEWEST: usize = 1024;
    thread_local! {
        static COUNTERS: RefCell<HashMap<usize, (usize, Handle)>> = RefCell::default();
    }
    COUNTERS.with_borrow_mut(|all| {
        let room = cells.next_power_of_two().max(FEWEST);
        let make = || (room, like.client.create_from_slice(&vec![0; room * size_of::<u32>()]));
        let (length, handle) = all.entry(like.device.index).or_insert_with(make);
        if *length < cells {
            (*length, *handle) = make();
        }
        handle.clone()
    })
}

/// Multiprocessors of the device of a tensor.
pub(super) fn processors(like: &Primitive) -> usize {
    let hardware = &like.client.properties().hardware;
    hardware.num_streaming_multiprocessors.map_or(132, |count| count as usize).max(1)
}

/// A dense output beside a tensor.
pub(super) fn output<B, const D: usize>(
    like: &Primitive,
    shape: [usize; D],
    dtype: DType,
) -> (Primitive, Tensor<B, D>)
where
    B: Backend<FloatTensorPrimitive = CubeTensor<CudaRuntime>>,
{
    let output = cube::empty_like(like, shape, dtype);
    (output.clone(), cube::tensor(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_shared_memory() {
        for columns in [32, 80, 128, 160, 256] {
            let cut = Cut { columns, alternate: false, splits: 1 };
            let parts = Parts {
                bias: true,
                add: false,
                mul: false,
                residual: false,
                gated: false,
                activation: None,
            };
            let recipe = Matmul {
                cut,
                convolution: false,
                pair: false,
                parts,
                vector: true,
                wide: false,
                bfloat: false,
            };
            assert!(recipe.slots() >= 3, "{columns}");
            assert!(recipe.shared() <= 227 * 1024, "{columns}");
            let kernel = Kernel::of(&recipe);
            assert!(kernel.source().starts_with(&format!("#define BN {columns}\n")));
        }
    }
}
