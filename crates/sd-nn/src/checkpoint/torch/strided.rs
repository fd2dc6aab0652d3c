//! Tensors as views of a storage: checked against it, and brought into row-major order.

/// Elements that a view may have beyond those of its storage: views repeat elements, but no weight does so to speak of, and
/// a hostile one could ask for any amount of memory.
const MAX_REPEATED: u64 = 1 << 20;

/// The elements of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// First element.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
    /// Number of elements.
    pub(super) count: usize,
}

impl View {
    /// A view of a storage of `available` elements; `None` when it does not lie there.
    pub(super) fn new(offset: u64, shape: &[u64], strides: &[u64], available: u64) -> Option<Self> {
        if shape.len() != strides.len() {
            return None;
        }
        let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size))?;
        if count > 0 {
            let last = shape.iter().zip(strides).try_fold(offset, |last, (size, stride)| {
                last.checked_add((size - 1).checked_mul(*stride)?)
            })?;
            if last >= available || count > available.saturating_add(MAX_REPEATED) {
                return None;
            }
        } else if offset > available {
            return None;
        }
        let usizes = |values: &[u64]| -> Option<Vec<usize>> {
            values.iter().map(|&value| usize::try_from(value).ok()).collect()
        };
        Some(Self {
            offset: offset.try_into().ok()?,
            shape: usizes(shape)?,
            // Where there is one index only, or none, the stride is never used and may be anything.
            strides: shape
                .iter()
                .zip(strides)
                .map(|(&size, &stride)| if size > 1 { stride.try_into().ok() } else { Some(0) })
                .collect::<Option<_>>()?,
            count: count.try_into().ok()?,
        })
    }

    /// Whether the elements lie in row-major order without gaps.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.count == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
                let fits = size == 1 || stride == expected;
                expected *= size;
                fits
            })
    }

    /// Bytes of the storage between the view's first element and its last, inclusive.
    pub(super) fn byte_range(&self, size: usize) -> std::ops::Range<usize> {
        let start = self.offset * size;
        if self.count == 0 {
            return start..start;
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last: usize = steps.map(|(&size, &stride)| (size - 1) * stride).sum();
        start..(self.offset + last + 1) * size
    }

    /// The elements in row-major order, from the bytes of [`byte_range`](Self::byte_range).
    pub(super) fn gather(&self, bytes: &[u8], size: usize) -> Vec<u8> {
        let mut gathered = Vec::with_capacity(self.count * size);
        let (&inner, outer) = self.shape.split_last().unwrap_or((&1, &[]));
        let step = self.strides.last().copied().unwrap_or(0);
        let mut index = vec![0; outer.len()];
        let rows = self.count.checked_div(inner).unwrap_or(0);
        for _ in 0..rows {
            let start: usize =
                index.iter().zip(&self.strides).map(|(at, stride)| at * stride).sum();
            for column in 0..inner {
                let at = (start + column * step) * size;
                gathered.extend_from_slice(&bytes[at..at + size]);
            }
            for (at, &size) in index.iter_mut().zip(outer).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(offset: u64, shape: &[u64], strides: &[u64]) -> Option<Vec<u8>> {
        let storage: Vec<u8> = (0..12).collect();
        let view = View::new(offset, shape, strides, 12)?;
        Some(view.gather(&storage[view.byte_range(1)], 1))
    }

    #[test]
    fn views_are_brought_into_order() {
        assert_eq!(gather(0, &[2, 3], &[3, 1]).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(gather(0, &[3, 2], &[1, 3]).unwrap(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gather(1, &[2, 2, 2], &[6, 1, 2]).unwrap(), [1, 3, 2, 4, 7, 9, 8, 10]);
        assert_eq!(gather(3, &[2, 2], &[0, 1]).unwrap(), [3, 4, 3, 4]);
        assert_eq!(gather(11, &[], &[]).unwrap(), [11]);
        assert!(gather(0, &[0, 5], &[5, 1]).unwrap().is_empty());
        assert_eq!(gather(0, &[1, 12], &[u64::MAX, 1]).unwrap().len(), 12);
    }

    #[test]
    fn views_that_leave_their_storage_are_refused() {
        assert_eq!(gather(12, &[1], &[1]), None);
        assert_eq!(gather(0, &[13], &[1]), None);
        assert_eq!(gather(0, &[2, 2], &[11, 1]), None);
        assert_eq!(gather(u64::MAX, &[2], &[1]), None);
        assert_eq!(gather(0, &[u64::MAX, 2], &[0, 0]), None);
        assert_eq!(gather(0, &[u64::MAX], &[0]), None);
        assert_eq!(gather(0, &[1 << 32], &[0]), None);
        assert_eq!(gather(0, &[2], &[1, 1]), None);
        assert_eq!(gather(13, &[0], &[1]), None);
    }

    #[test]
    fn order_without_gaps_is_known() {
        let contiguous = |shape: &[u64], strides: &[u64]| {
            View::new(0, shape, strides, 64).unwrap().is_contiguous()
        };
        assert!(contiguous(&[2, 3], &[3, 1]));
        assert!(contiguous(&[2, 1, 3], &[3, 77, 1]));
        assert!(contiguous(&[], &[]));
        assert!(!contiguous(&[2, 3], &[1, 2]));
        assert!(!contiguous(&[2, 3], &[4, 1]));
        assert!(!contiguous(&[2], &[0]));
    }
}
