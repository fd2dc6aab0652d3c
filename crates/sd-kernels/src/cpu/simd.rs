//! Which instructions kernels are compiled for.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

/// The variable that keeps kernels from using all that the CPU has: `avx2` or `none`. Anything else is as if it were not set.
const VARIABLE: &str = "SD_CPU_SIMD";
/// Columns of the widest tile of any CPU: four registers of 16.
pub(super) const WIDEST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All that is there.
    Best,
    /// No more than AVX2.
    Avx2,
    /// Nothing beyond what the program was compiled for.
    None,
}

fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
        Ok("avx2") => Level::Avx2,
        Ok("none") => Level::None,
        _ => Level::Best,
    })
}

/// Runs a kernel in the form that was compiled for this CPU.
#[inline]
pub(super) fn dispatch<Op: WithSimd>(kernel: Op) -> Op::Output {
    match level() {
        Level::Best => Arch::new().dispatch(kernel),
        Level::Avx2 => up_to_avx2(kernel),
        Level::None => kernel.with_simd(pulp::Scalar),
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn up_to_avx2<Op: WithSimd>(kernel: Op) -> Op::Output {
    match pulp::x86::V3::try_new() {
        Some(avx2) => Simd::vectorize(avx2, kernel),
        None => kernel.with_simd(pulp::Scalar),
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn up_to_avx2<Op: WithSimd>(kernel: Op) -> Op::Output {
    Arch::new().dispatch(kernel)
}

/// What of the CPU decides the form of panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers {
    /// Floats of one.
    pub(super) lanes: usize,
    /// How many a tile is wide, so that it fits into those that there are.
    pub(super) across: usize,
}

impl Registers {
    /// Those of this CPU.
    pub(super) fn here() -> Self {
        struct Count;
        impl WithSimd for Count {
            type Output = Registers;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Registers {
                let across = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
                Registers { lanes: S::F32_LANES, across }
            }
        }
        dispatch(Count)
    }

    /// Columns of a tile.
    pub(super) fn width(self) -> usize {
        self.lanes * self.across
    }
}
