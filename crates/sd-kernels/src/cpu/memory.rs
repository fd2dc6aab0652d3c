//! Memory that kernels write.

use core::{cell::RefCell, marker::PhantomData};

/// Memory that several threads write, each its own places.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    start: *mut f32,
    length: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: whoever goes by the pointers that it hands out promises that no two threads touch the same place.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// The place of `length` values from `first` on, which may not be written yet.
    ///
    /// # Panics
    /// When it reaches beyond the memory.
    #[inline(always)]
    pub(crate) fn place(self, first: usize, length: usize) -> *mut f32 {
        assert!(first + length <= self.length, "a kernel writes beyond its output");
        // SAFETY: inside the memory, as was just checked.
        unsafe { self.start.add(first) }
    }

    /// `length` values from `first` on.
    ///
    /// # Safety
    /// They must have been written, and nobody may have a range that overlaps this one at the same time.
    ///
    /// # Panics
    /// When the range reaches beyond the memory.
    #[inline(always)]
    pub(crate) unsafe fn range(self, first: usize, length: usize) -> &'a mut [f32] {
        let place = self.place(first, length);
        // SAFETY: inside the memory, which lives for 'a; the rest is the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(place, length) }
    }

    /// Writes values from `first` on.
    ///
    /// # Safety
    /// Nobody may have a range that overlaps this one at the same time.
    ///
    /// # Panics
    /// When they reach beyond the memory.
    #[inline(always)]
    pub(crate) unsafe fn write(self, first: usize, values: &[f32]) {
        let place = self.place(first, values.len());
        // SAFETY: inside the memory; `values` lies elsewhere, being readable while this is written.
        unsafe { place.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }
}

/// `length` values that `fill` writes. They are not zeroed first, which would be one more pass over memory.
///
/// # Safety
/// `fill` must write every one of them.
pub(crate) unsafe fn fresh(length: usize, fill: impl FnOnce(Output<'_>)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(length);
    fill(Output { start: values.as_mut_ptr(), length, owner: PhantomData });
    // SAFETY: the capacity is at least that, and all of it was written, as the caller promises.
    unsafe { values.set_len(length) };
    values
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Gives `work` a thread's scratch memory of `length` values, with anything in it. It is kept for the next call; a call
/// inside another gets memory of its own.
pub(crate) fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut memory = SCRATCH.take();
    if memory.len() < length {
        memory = vec![0.0; length];
    }
    let result = work(&mut memory[..length]);
    SCRATCH.set(memory);
    result
}
