//! What of a file's tensor a tensor of diffusers is.

use burn::tensor::TensorData;

/// What of a file's tensor a tensor of diffusers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole of it.
    Whole,
    /// One of three equal parts of its rows.
    Third(usize),
    /// Columns for rows.
    Transposed,
    /// A linear layer that the file has as a convolution of one element.
    Squeezed,
}

/// A tensor of a file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) key: String,
    pub(super) part: Part,
}

impl Part {
    /// The part's shape; `None` when the file's tensor has no such part.
    pub(super) fn shape(self, whole: &[usize]) -> Option<Vec<usize>> {
        match (self, whole) {
            (Self::Whole, whole) => Some(whole.to_vec()),
            (Self::Third(_), [rows, rest @ ..]) if rows.is_multiple_of(3) => {
                Some([&[rows / 3], rest].concat())
            }
            (Self::Transposed, &[rows, columns]) => Some(vec![columns, rows]),
            (Self::Squeezed, &[out, channels, ref ones @ ..])
                if ones.iter().all(|&one| one == 1) =>
            {
                Some(vec![out, channels])
            }
            _ => None,
        }
    }

    /// The part's elements; `shape` is that of [`shape`](Self::shape).
    pub(super) fn take(self, mut whole: TensorData, shape: Vec<usize>) -> TensorData {
        let size = whole.dtype.size();
        match self {
            Self::Third(at) => {
                let bytes = shape.iter().product::<usize>() * size;
                let part = whole.bytes[at * bytes..(at + 1) * bytes].to_vec();
                TensorData::from_bytes_vec(part, shape, whole.dtype)
            }
            Self::Transposed => {
                let transposed = transposed(&whole.bytes, &shape, size);
                TensorData::from_bytes_vec(transposed, shape, whole.dtype)
            }
            Self::Whole | Self::Squeezed => {
                whole.shape = shape.into();
                whole
            }
        }
    }
}

/// The bytes of a matrix with columns for rows, which is `shape` then.
pub(super) fn transposed(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let [rows, columns] = [shape[0], shape[1]];
    let mut out = Vec::with_capacity(bytes.len());
    for row in 0..rows {
        for column in 0..columns {
            let at = (column * rows + row) * size;
            out.extend_from_slice(&bytes[at..at + size]);
        }
    }
    out
}
