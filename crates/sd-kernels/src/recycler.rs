//! An allocator that keeps large blocks for the next request of their size.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering},
};
use std::alloc::System;

/// Blocks from this size on are kept: 256 KiB.
const LARGE: usize = 1 << 18;
/// Blocks from this size on lie on huge pages: 4 MiB.
const HUGE: usize = 1 << 22;
/// Alignment of a huge page.
const HUGE_PAGE: usize = 1 << 21;
/// Sizes per power of two.
const STEPS: usize = 8;
/// Shelves for blocks of up to 2⁴⁰ bytes.
const SHELVES: usize = (40 - 18) * STEPS;

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

/// Freed blocks.
#[derive(Debug)]
struct Store {
    shelves: [Shelf; SHELVES],
    /// Bytes of all of them.
    kept: usize,
    /// Counts what is put down.
    clock: u64,
}

/// Freed blocks of one size, each of which holds the address of the next.
#[derive(Debug, Clone, Copy)]
struct Shelf {
    first: *mut Block,
    used: u64,
}

#[derive(Debug)]
struct Block {
    next: *mut Block,
}

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
        let shelves = [Shelf { first: null_mut(), used: 0 }; SHELVES];
        Self {
            locked: AtomicBool::new(false),
            limit,
            store: UnsafeCell::new(Store { shelves, kept: 0, clock: 0 }),
        }
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

impl Store {
    fn take(&mut self, index: usize) -> *mut Block {
        let shelf = &mut self.shelves[index];
        let block = shelf.first;
        if !block.is_null() {
            // SAFETY: blocks on a shelf are valid, and hold the address of the next one.
            shelf.first = unsafe { (*block).next };
            self.kept -= size_of_shelf(index);
        }
        block
    }

    fn put(&mut self, index: usize, block: *mut Block) {
        self.clock += 1;
        // SAFETY: the block was freed by its user, and is large enough.
        unsafe { (*block).next = self.shelves[index].first };
        self.shelves[index] = Shelf { first: block, used: self.clock };
        self.kept += size_of_shelf(index);
    }

    /// A block of the size that was put down least recently.
    fn oldest(&mut self) -> Option<(usize, *mut Block)> {
        let filled = self.shelves.iter().enumerate().filter(|(_, shelf)| !shelf.first.is_null());
        let index = filled.min_by_key(|(_, shelf)| shelf.used)?.0;
        Some((index, self.take(index)))
    }
}

/// The shelf for a size, if it is kept at all.
fn shelf_of(size: usize) -> Option<usize> {
    if size < LARGE {
        return None;
    }
    // Sizes up to `8 · unit` to `16 · unit` share a unit, which is their step.
    let power = (size - 1).ilog2() as usize;
    let unit = 1 << (power - STEPS.ilog2() as usize);
    let step = size.div_ceil(unit) - STEPS;
    let shelf = (power + 1 - LARGE.ilog2() as usize) * STEPS + step - STEPS;
    (shelf < SHELVES).then_some(shelf)
}

/// The size of the blocks on a shelf.
fn size_of_shelf(shelf: usize) -> usize {
    let place = shelf + STEPS - 1;
    let (power, step) = (place / STEPS + LARGE.ilog2() as usize - 1, place % STEPS + 1);
    (STEPS + step) << (power - STEPS.ilog2() as usize)
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

/// What is to be in a new block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fill {
    Any,
    Zeros,
}

/// Where blocks come from.
mod source {
    use super::{Fill, GlobalAlloc, HUGE, HUGE_PAGE, Layout, System};

    pub(super) fn get(size: usize, fill: Fill) -> *mut u8 {
        if cfg!(target_os = "linux") && size >= HUGE {
            return pages::map(size);
        }
        match layout(size) {
            // SAFETY: the size is not zero.
            Some(layout) if fill == Fill::Zeros => unsafe { System.alloc_zeroed(layout) },
            // SAFETY: as above.
            Some(layout) => unsafe { System.alloc(layout) },
            None => core::ptr::null_mut(),
        }
    }

    pub(super) fn put_back(block: *mut u8, size: usize) {
        if cfg!(target_os = "linux") && size >= HUGE {
            return pages::unmap(block, size);
        }
        if let Some(layout) = layout(size) {
            // SAFETY: the block came from `get` with the same size, hence the same layout.
            unsafe { System.dealloc(block, layout) };
        }
    }

    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size, 64).ok()
    }

    #[cfg(target_os = "linux")]
    mod pages {
        use super::HUGE_PAGE;

        /// Zeroed pages that begin with a huge page.
        pub(super) fn map(size: usize) -> *mut u8 {
            let (Some(length), size) = (size.checked_add(HUGE_PAGE), size) else {
                return core::ptr::null_mut();
            };
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping, which overlaps nothing.
            let start = unsafe { libc::mmap(core::ptr::null_mut(), length, access, kind, -1, 0) };
            if start == libc::MAP_FAILED {
                return core::ptr::null_mut();
            }
            let start: *mut u8 = start.cast();
            let before = start.align_offset(HUGE_PAGE);
            let block = start.wrapping_add(before);
            unmap(start, before);
            unmap(block.wrapping_add(size), HUGE_PAGE - before);
            // SAFETY: the mapping that was just made. Whether the advice is followed does not matter.
            unsafe { libc::madvise(block.cast(), size, libc::MADV_HUGEPAGE) };
            block
        }

        pub(super) fn unmap(start: *mut u8, length: usize) {
            if length > 0 {
                // SAFETY: a part of a mapping of `map`, which nobody uses any more. Sizes of blocks are multiples of pages.
                unsafe { libc::munmap(start.cast(), length) };
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    mod pages {
        pub(super) fn map(_: usize) -> *mut u8 {
            core::ptr::null_mut()
        }

        pub(super) fn unmap(_: *mut u8, _: usize) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_shelf_that_is_barely_larger() {
        for size in (LARGE..40 << 20).step_by(7919).chain([LARGE, LARGE + 1, 1 << 19, 1 << 30]) {
            let shelf = shelf_of(size).unwrap();
            let found = size_of_shelf(shelf);
            assert!(found >= size && (found - size) * STEPS <= size, "{size}: {found}");
            assert_eq!(shelf_of(found), Some(shelf), "{size}");
            assert_eq!(found % 4096, 0);
        }
        assert_eq!(shelf_of(LARGE - 1), None);
        assert_eq!(shelf_of(usize::MAX / 2), None);
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_block_is_used_again() {
        let recycler = Recycler::new();
        for size in [LARGE, 3 << 20, HUGE, 100 << 20] {
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
