//! What is kept, by size.

use core::ptr::null_mut;

/// Blocks from this size on are kept: 256 KiB.
pub(super) const LARGE: usize = 1 << 18;
/// Sizes per power of two.
const STEPS: usize = 8;
/// Shelves for blocks of up to 2⁴⁰ bytes.
const SHELVES: usize = (40 - 18) * STEPS;

/// Freed blocks.
#[derive(Debug)]
pub(super) struct Store {
    shelves: [Shelf; SHELVES],
    /// Bytes of all of them.
    pub(super) kept: usize,
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
pub(super) struct Block {
    next: *mut Block,
}

impl Store {
    pub(super) const fn new() -> Self {
        let shelves = [Shelf { first: null_mut(), used: 0 }; SHELVES];
        Self { shelves, kept: 0, clock: 0 }
    }

    pub(super) fn take(&mut self, index: usize) -> *mut Block {
        let shelf = &mut self.shelves[index];
        let block = shelf.first;
        if !block.is_null() {
            // SAFETY: blocks on a shelf are valid, and hold the address of the next one.
            shelf.first = unsafe { (*block).next };
            self.kept -= size_of_shelf(index);
        }
        block
    }

    pub(super) fn put(&mut self, index: usize, block: *mut Block) {
        self.clock += 1;
        // SAFETY: the block was freed by its user, and is large enough.
        unsafe { (*block).next = self.shelves[index].first };
        self.shelves[index] = Shelf { first: block, used: self.clock };
        self.kept += size_of_shelf(index);
    }

    /// A block of the size that was put down least recently.
    pub(super) fn oldest(&mut self) -> Option<(usize, *mut Block)> {
        let filled = self.shelves.iter().enumerate().filter(|(_, shelf)| !shelf.first.is_null());
        let index = filled.min_by_key(|(_, shelf)| shelf.used)?.0;
        Some((index, self.take(index)))
    }
}

/// The shelf for a size, if it is kept at all.
pub(super) fn shelf_of(size: usize) -> Option<usize> {
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
pub(super) fn size_of_shelf(shelf: usize) -> usize {
    let place = shelf + STEPS - 1;
    let (power, step) = (place / STEPS + LARGE.ilog2() as usize - 1, place % STEPS + 1);
    (STEPS + step) << (power - STEPS.ilog2() as usize)
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
}
