//! The register tile: some rows times some registers of columns.

use pulp::Simd;

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;

/// Where the rows of a tile lie for a run of depth that is consecutive in memory.
pub(super) type Pointers = [*const f32; ROWS];

/// A run of depth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Its length.
    pub(super) length: usize,
    /// Where it begins behind the row's pointer.
    pub(super) offset: usize,
    /// Which of a row's pointers it goes by.
    pub(super) source: usize,
}

/// Whether a tile begins with what is in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With zeros.
    Zero,
    /// With the output.
    Output,
}

/// Adds up `rows · panel` over some runs into a tile of [`ROWS`] rows and `width` columns, a multiple of the register's.
/// Meanwhile the cache lines at `ahead`, one for each row of the panel and as far apart, are fetched: any address will do.
///
/// # Safety
/// - each pointer of `rows` that a run names must be readable for that run;
/// - `panel` must be readable for the length of all runs times `width`;
/// - `tile` must be valid for [`ROWS`] rows of `width` values, `stride` apart.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd>(
    simd: S,
    runs: &[Run],
    rows: &[Pointers],
    (panel, ahead): (*const f32, *const f32),
    width: usize,
    tile: (*mut f32, usize, Begin),
) {
    // SAFETY: handed on.
    unsafe {
        match width / S::F32_LANES {
            1 => vectors::<S, 1>(simd, runs, rows, (panel, ahead), tile),
            2 => vectors::<S, 2>(simd, runs, rows, (panel, ahead), tile),
            3 => vectors::<S, 3>(simd, runs, rows, (panel, ahead), tile),
            _ => vectors::<S, 4>(simd, runs, rows, (panel, ahead), tile),
        }
    }
}

/// Asks for a cache line, which need not exist.
#[inline(always)]
fn fetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch never faults, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

// Plain loops over indices: a closure that is not inlined would be compiled for the oldest of CPUs.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn vectors<S: Simd, const N: usize>(
    simd: S,
    runs: &[Run],
    rows: &[Pointers],
    (mut panel, mut ahead): (*const f32, *const f32),
    (tile, stride, begin): (*mut f32, usize, Begin),
) {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; N]; ROWS];
    if begin == Begin::Output {
        for row in 0..ROWS {
            for vector in 0..N {
                // SAFETY: `tile` has this place, as the caller promises.
                sums[row][vector] = unsafe { load::<S>(tile.add(row * stride), vector) };
            }
        }
    }
    for run in runs {
        let mut left = rows[run.source];
        for pointer in &mut left {
            // SAFETY: the run is readable from its offset on, as the caller promises.
            *pointer = unsafe { pointer.add(run.offset) };
        }
        for depth in 0..run.length {
            let mut right = [zero; N];
            for vector in 0..N {
                // SAFETY: the panel has a row for each step.
                right[vector] = unsafe { load::<S>(panel, vector) };
            }
            for row in 0..ROWS {
                // SAFETY: inside the run.
                let left = simd.splat_f32s(unsafe { *left[row].add(depth) });
                for vector in 0..N {
                    sums[row][vector] = simd.mul_add_e_f32s(left, right[vector], sums[row][vector]);
                }
            }
            fetch(ahead);
            ahead = ahead.wrapping_add(N * S::F32_LANES);
            // SAFETY: at most to the end of the panel.
            panel = unsafe { panel.add(N * S::F32_LANES) };
        }
    }
    for row in 0..ROWS {
        for vector in 0..N {
            // SAFETY: `tile` has this place.
            let place = unsafe { tile.add(row * stride + vector * S::F32_LANES) };
            // SAFETY: as above.
            unsafe { place.cast::<S::f32s>().write_unaligned(sums[row][vector]) };
        }
    }
}

/// A register from memory.
///
/// # Safety
/// `from` must be readable for `vector + 1` registers.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, vector: usize) -> S::f32s {
    // SAFETY: as the caller promises; every bit pattern is a number.
    unsafe { from.add(vector * S::F32_LANES).cast::<S::f32s>().read_unaligned() }
}
