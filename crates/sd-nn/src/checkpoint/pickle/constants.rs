//! Opcodes that give a number, a string or another plain value.

use super::{Node, PickleProblem, machine::Machine};

/// Longest string, in bytes.
const MAX_TEXT: u64 = 1 << 24;

impl Machine<'_> {
    /// Numbers, strings and the like.
    pub(super) fn constant(&mut self, opcode: u8) -> Result<Node, PickleProblem> {
        let reader = &mut self.reader;
        Ok(match opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'J' => Node::Int(i32::from_le_bytes(reader.array()?).into()),
            b'K' => Node::Int(reader.u8()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(reader.array()?).into()),
            0x8a => {
                let count = reader.u8()?;
                Node::Int(reader.long(count.into())?)
            }
            0x8b => {
                let count = reader.u32()?;
                Node::Int(reader.long(count.into())?)
            }
            b'G' => Node::Float(f64::from_be_bytes(reader.array()?)),
            b'I' | b'L' | b'F' => self.number_in_text(opcode)?,
            b'S' | b'V' => self.line_of_text(opcode)?,
            0x8c | b'U' => {
                let count = reader.u8()?;
                self.text(count.into())?
            }
            b'X' | b'T' => {
                let count = reader.u32()?;
                self.text(count.into())?
            }
            0x8d => {
                let count = reader.u64()?;
                self.text(count)?
            }
            b'C' => {
                let count = reader.u8()?;
                reader.take(count.into()).map(|_| Node::Bytes)?
            }
            b'B' => {
                let count = reader.u32()?;
                reader.take(count.into()).map(|_| Node::Bytes)?
            }
            0x8e | 0x96 => {
                let count = reader.u64()?;
                reader.take(count).map(|_| Node::Bytes)?
            }
            _ => return Err(PickleProblem::UnknownOpcode { opcode, offset: self.offset }),
        })
    }

    /// Numbers of protocol 0.
    fn number_in_text(&mut self, opcode: u8) -> Result<Node, PickleProblem> {
        let offset = self.reader.at();
        let line = self.reader.line()?;
        let node = match (opcode, line) {
            (b'I', "00") => Some(Node::Bool(false)),
            (b'I', "01") => Some(Node::Bool(true)),
            (b'F', line) => line.parse().ok().map(Node::Float),
            (_, line) => line.trim_end_matches('L').parse().ok().map(Node::Int),
        };
        node.ok_or(PickleProblem::Malformed { offset, expected: "a number" })
    }

    /// Strings of protocol 0: one in quotes, as Python writes it in programs, or one that is all of the line. Escapes stand
    /// for other characters; names have none, so that what has some is refused rather than taken literally.
    fn line_of_text(&mut self, opcode: u8) -> Result<Node, PickleProblem> {
        let offset = self.reader.at();
        let line = self.reader.line()?;
        let quoted = |quote: char| line.strip_prefix(quote)?.strip_suffix(quote);
        let text = match opcode {
            b'S' => quoted('\'').or_else(|| quoted('"')),
            _ => Some(line),
        };
        let Some(text) = text else {
            return Err(PickleProblem::Malformed { offset, expected: "a string in quotes" });
        };
        match text.contains('\\') {
            true => Err(PickleProblem::Malformed { offset, expected: "a string without escapes" }),
            false => Ok(Node::Text(text.into())),
        }
    }

    /// A string; of Python 2's strings, which may hold anything, only text is of use.
    fn text(&mut self, count: u64) -> Result<Node, PickleProblem> {
        if count > MAX_TEXT {
            return Err(PickleProblem::TooMuch { what: "bytes in a string", limit: MAX_TEXT });
        }
        let bytes = self.reader.take(count)?;
        Ok(std::str::from_utf8(bytes).map_or(Node::Bytes, |text| Node::Text(text.into())))
    }
}
