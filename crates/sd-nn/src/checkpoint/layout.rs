//! Convolution weights between the file's order `[out, in, kh, kw]` and the module's `[out, kh, kw, in]`.

use burn::tensor::{DType, TensorData};
use bytemuck::Pod;
use rayon::prelude::*;

/// Shapes of one weight in the module and in the file.
///
/// A rank-4 parameter is a convolution weight. A 1×1 convolution and a linear layer are the same thing, and files
/// disagree on which one a projection is: each accepts the other's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The same elements in the same order.
    Same,
    /// A convolution whose kernel has to be moved.
    Conv { out: usize, channels: usize, kernel: usize },
}

/// The shape that a file is expected to have for a parameter of this shape.
pub(crate) fn file_shape(module: &[usize]) -> Vec<usize> {
    match *module {
        [out, height, width, channels] => vec![out, channels, height, width],
        _ => module.to_vec(),
    }
}

/// How a file's tensor becomes the parameter; `None` when it does not fit.
pub(crate) fn layout(module: &[usize], file: &[usize]) -> Option<Layout> {
    match (module, file) {
        (&[o, kh, kw, i], &[fo, fi, fh, fw]) if [o, i, kh, kw] == [fo, fi, fh, fw] => {
            Some(Layout::of_conv(o, i, kh * kw))
        }
        (&[o, 1, 1, i], &[fo, fi]) | (&[o, i], &[fo, fi, 1, 1]) if [o, i] == [fo, fi] => {
            Some(Layout::Same)
        }
        (&[_, _, _, _], _) => None,
        _ => (module == file).then_some(Layout::Same),
    }
}

impl Layout {
    fn of_conv(out: usize, channels: usize, kernel: usize) -> Self {
        // One element a channel, or one channel: the order is the same either way.
        if kernel <= 1 || channels <= 1 { Self::Same } else { Self::Conv { out, channels, kernel } }
    }

    /// The way from a module's parameter to its file.
    pub(crate) fn to_file(module: &[usize]) -> Self {
        match *module {
            [out, height, width, channels] => Self::of_conv(out, channels, height * width),
            _ => Self::Same,
        }
    }

    /// Moves a file's elements into the module's order, in place but for one filter.
    pub(crate) fn file_to_module(self, data: &mut TensorData) {
        if let Self::Conv { out, channels, kernel } = self {
            transpose_filters(data, out, channels, kernel);
        }
    }

    /// Moves a module's elements into the file's order, in place but for one filter.
    pub(crate) fn module_to_file(self, data: &mut TensorData) {
        if let Self::Conv { out, channels, kernel } = self {
            transpose_filters(data, out, kernel, channels);
        }
    }
}

/// Filters that one thread takes at least, so that its buffers cost little.
const MIN_FILTERS: usize = 16;

/// Turns each of `count` matrices `[rows, columns]` into `[columns, rows]`.
fn transpose_filters(data: &mut TensorData, count: usize, rows: usize, columns: usize) {
    debug_assert_eq!(data.bytes.len(), count * rows * columns * data.dtype.size());
    let size = rows * columns;
    match data.dtype {
        DType::F16 | DType::BF16 => transpose_each::<u16>(&mut data.bytes, size, columns),
        DType::F64 => transpose_each::<u64>(&mut data.bytes, size, columns),
        _ => transpose_each::<u32>(&mut data.bytes, size, columns),
    }
}

fn transpose_each<E: Pod + Send + Sync>(bytes: &mut [u8], size: usize, columns: usize) {
    let rows = size / columns.max(1);
    // A filter is some ten thousand elements and stays in the cache; bytes need no alignment this way.
    let buffers = || (vec![E::zeroed(); size], vec![E::zeroed(); size]);
    bytes.par_chunks_exact_mut(size * size_of::<E>()).with_min_len(MIN_FILTERS).for_each_init(
        buffers,
        |(filter, turned), bytes| {
            bytemuck::cast_slice_mut::<E, u8>(filter).copy_from_slice(bytes);
            transpose_blocked(filter, turned, rows, columns);
            bytes.copy_from_slice(bytemuck::cast_slice(turned));
        },
    );
}

/// Blocks keep both sides' cache lines alive whichever dimension is long.
fn transpose_blocked<E: Copy>(from: &[E], to: &mut [E], rows: usize, columns: usize) {
    const BLOCK: usize = 32;
    for row_start in (0..rows).step_by(BLOCK) {
        let row_end = rows.min(row_start + BLOCK);
        for column_start in (0..columns).step_by(BLOCK) {
            for column in column_start..columns.min(column_start + BLOCK) {
                for row in row_start..row_end {
                    to[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    fn check<E: burn::tensor::Element + PartialEq>(make: impl Fn(usize) -> E) {
        let [o, i, h, w] = [3 * MIN_FILTERS + 1, 70, 3, 2];
        let values: Vec<E> = (0..o * i * h * w).map(&make).collect();
        let mut expected = Vec::new();
        for out in 0..o {
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                expected
                    .extend((0..i).map(|channel| values[((out * i + channel) * h + y) * w + x]));
            }
        }
        let mut data = TensorData::new(values.clone(), [o, i, h, w]);
        let layout = layout(&[o, h, w, i], &[o, i, h, w]).unwrap();
        layout.file_to_module(&mut data);
        assert!(data.to_vec::<E>().unwrap() == expected);
        Layout::to_file(&[o, h, w, i]).module_to_file(&mut data);
        assert!(data.to_vec::<E>().unwrap() == values);
    }

    #[test]
    fn kernels_move_and_come_back_in_every_width() {
        check(|n| n as f32);
        check(|n| n as f64);
        check(|n| bf16::from_bits(n as u16));
    }

    #[test]
    fn linear_and_pointwise_convolution_accept_each_other() {
        assert_eq!(layout(&[8, 1, 1, 4], &[8, 4]), Some(Layout::Same));
        assert_eq!(layout(&[8, 4], &[8, 4, 1, 1]), Some(Layout::Same));
        assert_eq!(layout(&[8, 1, 1, 4], &[8, 4, 1, 1]), Some(Layout::Same));
        assert_eq!(layout(&[8, 4], &[8, 4, 3, 3]), None);
        assert_eq!(layout(&[8, 4], &[4, 8]), None);
        assert_eq!(layout(&[8, 3, 3, 4], &[8, 4]), None);
        assert_eq!(layout(&[8, 3, 3, 4], &[8, 3, 3, 4]), None);
        assert_eq!(layout(&[8], &[8]), Some(Layout::Same));
        assert_eq!(layout(&[8], &[8, 1]), None);
    }

    #[test]
    fn empty_filters_do_not_matter() {
        let mut data = TensorData::new(Vec::<f32>::new(), [0, 4, 3, 3]);
        layout(&[0, 3, 3, 4], &[0, 4, 3, 3]).unwrap().file_to_module(&mut data);
        assert_eq!(layout(&[2, 3, 3, 0], &[2, 0, 3, 3]), Some(Layout::Same));
    }
}
