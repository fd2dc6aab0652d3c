//! Where blocks come from.

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;

/// Blocks from this size on lie on huge pages: 4 MiB.
const HUGE: usize = 1 << 22;
/// Alignment of a huge page.
const HUGE_PAGE: usize = 1 << 21;

/// What is to be in a new block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Any,
    Zeros,
}

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
