//! The element types of GGUF files.

use std::fmt;

use safetensors::Dtype;

/// An element type of a GGUF file. Quantised types hold blocks of elements that share scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GgmlType {
    name: &'static str,
    pub(super) code: u32,
    /// Elements of a block.
    pub(super) block: usize,
    /// Bytes of a block.
    pub(super) bytes: usize,
}

const fn of(code: u32, name: &'static str, block: usize, bytes: usize) -> GgmlType {
    GgmlType { name, code, block, bytes }
}

/// Elements in a super-block of the K types and later ones.
const K: usize = 256;

/// All that the format has, by `ggml.h`.
const TYPES: &[GgmlType] = &[
    of(0, "F32", 1, 4),
    of(1, "F16", 1, 2),
    of(2, "Q4_0", 32, 18),
    of(3, "Q4_1", 32, 20),
    of(6, "Q5_0", 32, 22),
    of(7, "Q5_1", 32, 24),
    of(8, "Q8_0", 32, 34),
    of(9, "Q8_1", 32, 40),
    of(10, "Q2_K", K, 84),
    of(11, "Q3_K", K, 110),
    of(12, "Q4_K", K, 144),
    of(13, "Q5_K", K, 176),
    of(14, "Q6_K", K, 210),
    of(15, "Q8_K", K, 292),
    of(16, "IQ2_XXS", K, 66),
    of(17, "IQ2_XS", K, 74),
    of(18, "IQ3_XXS", K, 98),
    of(19, "IQ1_S", K, 50),
    of(20, "IQ4_NL", 32, 18),
    of(21, "IQ3_S", K, 110),
    of(22, "IQ2_S", K, 82),
    of(23, "IQ4_XS", K, 136),
    of(24, "I8", 1, 1),
    of(25, "I16", 1, 2),
    of(26, "I32", 1, 4),
    of(27, "I64", 1, 8),
    of(28, "F64", 1, 8),
    of(29, "IQ1_M", K, 56),
    of(30, "BF16", 1, 2),
    of(34, "TQ1_0", K, 54),
    of(35, "TQ2_0", K, 66),
    of(39, "MXFP4", 32, 17),
];

impl GgmlType {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        TYPES.iter().find(|of| of.code == code).copied()
    }

    /// The format's name, such as `Q4_0`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether elements are blocks with scales.
    pub fn is_quantised(self) -> bool {
        self.block > 1
    }

    /// The type of elements that are stored as they are.
    pub(super) fn plain(self) -> Option<Dtype> {
        Some(match self.name {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "BF16" => Dtype::BF16,
            "F64" => Dtype::F64,
            "I8" => Dtype::I8,
            "I16" => Dtype::I16,
            "I32" => Dtype::I32,
            "I64" => Dtype::I64,
            _ => return None,
        })
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
