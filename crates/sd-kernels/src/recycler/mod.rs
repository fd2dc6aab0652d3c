//! An allocator that keeps large blocks for the next request of their size.

mod shelves;
mod source;

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};
use std::alloc::System;

use shelves::{Store, shelf_of, size_of_shelf};
use source::Fill;

/// A global allocator for programs that generate images on the CPU.
///
/// A diffusion model asks for the same large blocks again in every step. The system's allocator gives them back to the
/// kernel each time and gets them anew, page by page, which can take longer than the computation. This one keeps up to a
/// limit of freed blocks (256 MiB by default) and lays large ones on huge pages where the system has them (Linux). Small
/// requests go to the system's allocator.
///
/// ```
/// use sd_kernels::Recycler;
///
/// #[global_allocator]
/// static ALLOCATOR: Recycler = Recycler::new();
///
/// let block = vec![0u8; 1 << 20];
/// drop(block);
/// assert!(vec![0u8; 1 << 20].iter().all(|byte| *byte == 0));
/// ```
#[derive(Debug)]
pub struct Recycler {
    locked: AtomicBool,
    limit: usize,
    store: UnsafeCell<Store>,
}

// SAFETY: the store is only touched behind the lock.
unsafe impl Sync for Recycler {}

impl Default for Recycler {
    fn default() -> Self {
        Self::new()
    }
}

impl Recycler {
    /// One that keeps up to 256 MiB.
    pub const fn new() -> Self {
        Self::with_limit(1 << 28)
    }

    /// One that keeps up to `limit` bytes of freed blocks.
    pub const fn with_limit(limit: usize) -> Self {
        let store = UnsafeCell::new(Store::new());
        Self { locked: AtomicBool::new(false), limit, store }
    }

    /// Works on the store alone. A mutex of the standard library may allocate.
    fn with_store<R>(&self, work: impl FnOnce(&mut Store) -> R) -> R {
        while self
            .locked
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::hint::spin_loop();
        }
        // SAFETY: only the holder of the lock is here, and `work` cannot panic: it compares and links addresses.
        let result = work(unsafe { &mut *self.store.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    fn take(&self, shelf: usize) -> *mut u8 {
        self.with_store(|store| store.take(shelf)).cast()
    }
}

// SAFETY: blocks come from the system's allocator or from its pages, with the size of their shelf and at least the alignment
// that is asked for; a layout leads to the same shelf when it is freed.
unsafe impl GlobalAlloc for Recycler {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match kept(layout) {
            None => {
                // SAFETY: handed on.
                unsafe { System.alloc(layout) }
            }
            Some(shelf) => match self.take(shelf) {
                block if block.is_null() => source::get(size_of_shelf(shelf), Fill::Any),
                block => block,
            },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match kept(layout) {
            None => {
                // SAFETY: handed on.
                unsafe { System.alloc_zeroed(layout) }
            }
            Some(shelf) => match self.take(shelf) {
                block if block.is_null() => source::get(size_of_shelf(shelf), Fill::Zeros),
                block => {
                    // SAFETY: the block is at least that large.
                    unsafe { block.write_bytes(0, layout.size()) };
                    block
                }
            },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(shelf) = kept(layout) else {
            // SAFETY: handed on.
            return unsafe { System.dealloc(block, layout) };
        };
        let size = size_of_shelf(shelf);
        if size > self.limit / 2 {
            return source::put_back(block, size);
        }
        self.with_store(|store| store.put(shelf, block.cast()));
        while let Some((shelf, block)) = self.with_store(|store| match store.kept > self.limit {
            true => store.oldest(),
            false => None,
        }) {
            source::put_back(block.cast(), size_of_shelf(shelf));
        }
    }
}

/// The shelf for a layout. What wants more than a cache line's alignment goes to the system.
fn kept(layout: Layout) -> Option<usize> {
    if layout.align() > 64 { None } else { shelf_of(layout.size()) }
}

#[cfg(test)]
mod tests {
    use super::{shelves::LARGE, *};

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_block_is_used_again() {
        let recycler = Recycler::new();
        for size in [LARGE, 3 << 20, 4 << 20, 100 << 20] {
            // SAFETY: every block is freed with its layout, once, and written only within its size.
            unsafe {
                let first = recycler.alloc(layout(size));
                first.write_bytes(7, size);
                recycler.dealloc(first, layout(size));
                let second = recycler.alloc_zeroed(layout(size));
                assert_eq!(first, second);
                assert!(core::slice::from_raw_parts(second, size).iter().all(|byte| *byte == 0));
                let third = recycler.alloc_zeroed(layout(size));
                assert_ne!(third, second);
                assert!(core::slice::from_raw_parts(third, size).iter().all(|byte| *byte == 0));
                recycler.dealloc(second, layout(size));
                recycler.dealloc(third, layout(size));
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let recycler = Recycler::with_limit(8 << 20);
        let sizes = [1 << 20, 2 << 20, 3 << 20, 4 << 20, 6 << 20];
        for size in sizes.into_iter().cycle().take(50) {
            // SAFETY: as above.
            unsafe {
                let blocks = [(); 3].map(|()| recycler.alloc(layout(size)));
                for block in blocks {
                    block.write_bytes(1, size);
                    recycler.dealloc(block, layout(size));
                }
            }
            assert!(recycler.with_store(|store| store.kept) <= 8 << 20);
        }
        while recycler.with_store(|store| store.oldest()).is_some() {}
        assert_eq!(recycler.with_store(|store| store.kept), 0);
    }

    #[test]
    fn blocks_from_many_threads_stay_apart() {
        static RECYCLER: Recycler = Recycler::with_limit(32 << 20);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                scope.spawn(move || {
                    for round in 0..200usize {
                        let size = LARGE + (round * 37 % 11) * 100_000;
                        // SAFETY: as above.
                        unsafe {
                            let block = RECYCLER.alloc(layout(size));
                            block.write_bytes(thread, size);
                            std::thread::yield_now();
                            let bytes = core::slice::from_raw_parts(block, size);
                            assert!(bytes.iter().all(|byte| *byte == thread));
                            RECYCLER.dealloc(block, layout(size));
                        }
                    }
                });
            }
        });
    }
}
