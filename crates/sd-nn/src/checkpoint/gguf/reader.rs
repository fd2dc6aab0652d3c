//! Numbers, texts and values of a GGUF header, one after the other.

use super::GgufProblem;

/// Longest text, in bytes: keys, names and values.
const MAX_TEXT: u64 = 1 << 24;

/// Longest value that is kept.
const MAX_KEPT: usize = 4096;

/// Arrays in arrays.
const MAX_DEPTH: usize = 4;

/// Sizes of a shape.
const MAX_SIZES: u64 = 8;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { file, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], GgufProblem> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.file.get(self.at..)?.get(..count))
            .ok_or(GgufProblem::Truncated { offset: self.file.len() })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufProblem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufProblem> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufProblem> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn string(&mut self) -> Result<&'a str, GgufProblem> {
        let len = self.u64()?;
        if len > MAX_TEXT {
            return Err(GgufProblem::TooMuch {
                what: "bytes of a text:",
                found: len,
                limit: MAX_TEXT,
            });
        }
        let offset = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| GgufProblem::NotUtf8 { offset })
    }

    /// A value as text; `None` for arrays and long texts, which are passed over.
    pub(super) fn value(&mut self, key: &str, kind: u32) -> Result<Option<String>, GgufProblem> {
        Ok(Some(match kind {
            0 => self.array::<1>()?[0].to_string(),
            1 => i8::from_le_bytes(self.array()?).to_string(),
            2 => u16::from_le_bytes(self.array()?).to_string(),
            3 => i16::from_le_bytes(self.array()?).to_string(),
            4 => self.u32()?.to_string(),
            5 => i32::from_le_bytes(self.array()?).to_string(),
            6 => f32::from_le_bytes(self.array()?).to_string(),
            7 => (self.array::<1>()?[0] != 0).to_string(),
            8 => {
                return Ok(Some(self.string()?)
                    .filter(|text| text.len() <= MAX_KEPT)
                    .map(Into::into));
            }
            9 => {
                self.skip_array(key, 0)?;
                return Ok(None);
            }
            10 => self.u64()?.to_string(),
            11 => i64::from_le_bytes(self.array()?).to_string(),
            12 => f64::from_le_bytes(self.array()?).to_string(),
            found => return Err(GgufProblem::UnknownValue { key: key.into(), found }),
        }))
    }

    /// Passes over an array. Every element takes a byte of the file at least, so that this ends with it.
    fn skip_array(&mut self, key: &str, depth: usize) -> Result<(), GgufProblem> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..count {
                    self.string()?;
                }
                return Ok(());
            }
            9 if depth < MAX_DEPTH => {
                for _ in 0..count {
                    self.skip_array(key, depth + 1)?;
                }
                return Ok(());
            }
            found => return Err(GgufProblem::UnknownValue { key: key.into(), found }),
        };
        self.take(count.saturating_mul(size)).map(drop)
    }

    /// An array of a few sizes.
    pub(super) fn sizes(&mut self, key: &str, kind: u32) -> Result<Vec<u64>, GgufProblem> {
        let unknown = |found| GgufProblem::UnknownValue { key: key.into(), found };
        if kind != 9 {
            return Err(unknown(kind));
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        if count > MAX_SIZES {
            return Err(GgufProblem::TooMuch {
                what: "sizes of a shape:",
                found: count,
                limit: MAX_SIZES,
            });
        }
        let size = |reader: &mut Self| match kind {
            4 => Ok(reader.u32()?.into()),
            // Negative ones become too large for any tensor.
            5 => Ok(i64::from(i32::from_le_bytes(reader.array()?)) as u64),
            10 | 11 => reader.u64(),
            found => Err(unknown(found)),
        };
        (0..count).map(|_| size(self)).collect()
    }
}
