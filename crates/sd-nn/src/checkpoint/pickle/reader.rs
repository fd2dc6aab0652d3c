//! The bytes of a pickle, one after the other.

use super::PickleProblem;

/// Longest line of the text opcodes, which hold a name or a number.
const MAX_LINE: usize = 4096;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], PickleProblem> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.bytes.get(self.at..)?.get(..count))
            .ok_or(PickleProblem::Truncated { offset: self.bytes.len() })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleProblem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleProblem> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleProblem> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleProblem> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Text of `count` bytes.
    pub(super) fn text(&mut self, count: u64) -> Result<&'a str, PickleProblem> {
        let offset = self.at;
        std::str::from_utf8(self.take(count)?)
            .map_err(|_| PickleProblem::Malformed { offset, expected: "UTF-8" })
    }

    /// A line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleProblem> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
            return Err(match rest.len() > MAX_LINE {
                true => PickleProblem::TooMuch { what: "bytes in a line", limit: MAX_LINE as u64 },
                false => PickleProblem::Truncated { offset: self.bytes.len() },
            });
        };
        let line = self.text(len as u64)?;
        self.at += 1;
        Ok(line)
    }

    /// A little-endian two's complement integer of `count` bytes.
    pub(super) fn long(&mut self, count: u64) -> Result<i128, PickleProblem> {
        if count > 16 {
            return Err(PickleProblem::TooMuch { what: "bytes in an integer", limit: 16 });
        }
        let bytes = self.take(count)?;
        let negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(i128::from_le_bytes(wide))
    }
}
