//! The header of a GGUF file: parsed and checked against its file, before anything is read.
//!
//! Layout: `GGUF`, version, number of tensors, number of values; the values, each with key and type; the tensors, each with
//! name, dimensions (innermost first), type and offset; the data, aligned.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use super::{GgmlType, GgufProblem, reader::Reader};

/// Tensors of one file.
const MAX_TENSORS: u64 = 1 << 17;

/// Values of one file.
const MAX_VALUES: u64 = 1 << 17;

/// Dimensions of a tensor.
const MAX_RANK: u32 = 8;

const DEFAULT_ALIGNMENT: u64 = 32;

const MAX_ALIGNMENT: u64 = 1 << 20;

/// Under which ComfyUI-GGUF keeps the shape of a tensor that it had to lay out in rows of whole blocks.
const ORIGINAL_SHAPE: &str = "comfy.gguf.orig_shape.";

/// A header whose every length and offset has been checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// By their names.
    pub(super) entries: BTreeMap<String, Entry>,
}

/// One tensor: type, shape, and where its bytes lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: GgmlType,
    /// Outermost dimension first.
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

impl Header {
    pub(super) fn parse(file: &[u8]) -> Result<Self, GgufProblem> {
        let mut reader = Reader::new(file);
        if !file.starts_with(b"GGUF") {
            return Err(GgufProblem::NoMagic);
        }
        reader.u32()?;
        match reader.u32()? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 1..=3) => return Err(GgufProblem::BigEndian),
            found => return Err(GgufProblem::Version { found }),
        }
        let tensors = limited("tensors:", reader.u64()?, MAX_TENSORS)?;
        let count = limited("values:", reader.u64()?, MAX_VALUES)?;
        let values = Values::read(&mut reader, count)?;
        let alignment = values.alignment()?;
        let raw =
            (0..tensors).map(|_| RawTensor::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let start = (reader.at() as u64).next_multiple_of(alignment);
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(file.len());
        let mut entries = BTreeMap::new();
        for tensor in raw {
            let name = tensor.name.clone();
            let mut entry = tensor.check(start, file.len(), alignment)?;
            if let Some(shape) = values.shapes.get(&name) {
                entry.shape = reshaped(&name, &entry, shape)?;
            }
            if entries.insert(name.clone(), entry).is_some() {
                return Err(GgufProblem::Duplicate { name });
            }
        }
        check_overlap(&entries)?;
        Ok(Self { metadata: values.metadata, entries })
    }
}

fn limited(what: &'static str, found: u64, limit: u64) -> Result<u64, GgufProblem> {
    if found <= limit { Ok(found) } else { Err(GgufProblem::TooMuch { what, found, limit }) }
}

/// What stands before the tensors.
#[derive(Debug, Default)]
struct Values {
    metadata: BTreeMap<String, String>,
    shapes: BTreeMap<String, Vec<u64>>,
}

impl Values {
    fn read(reader: &mut Reader<'_>, count: u64) -> Result<Self, GgufProblem> {
        let mut values = Self::default();
        let mut seen = HashSet::new();
        for _ in 0..count {
            let key = reader.string()?;
            if !seen.insert(key) {
                return Err(GgufProblem::Duplicate { name: key.into() });
            }
            let kind = reader.u32()?;
            if let Some(tensor) = key.strip_prefix(ORIGINAL_SHAPE) {
                let shape = reader.sizes(key, kind)?;
                values.shapes.insert(tensor.into(), shape);
            } else if let Some(text) = reader.value(key, kind)? {
                values.metadata.insert(key.into(), text);
            }
        }
        Ok(values)
    }

    fn alignment(&self) -> Result<u64, GgufProblem> {
        let Some(text) = self.metadata.get("general.alignment") else {
            return Ok(DEFAULT_ALIGNMENT);
        };
        let found: u64 = text.parse().unwrap_or(0);
        match found.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&found) {
            true => Ok(found),
            false => Err(GgufProblem::Alignment { found, limit: MAX_ALIGNMENT }),
        }
    }
}

/// A tensor as the header describes it.
struct RawTensor {
    name: String,
    /// Outermost dimension first.
    shape: Vec<u64>,
    code: u32,
    /// Relative to the data.
    offset: u64,
}

impl RawTensor {
    fn read(reader: &mut Reader<'_>) -> Result<Self, GgufProblem> {
        let name = reader.string()?.to_owned();
        let rank = reader.u32()?;
        limited("dimensions of a tensor:", rank.into(), MAX_RANK.into())?;
        let mut shape = (0..rank).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        Ok(Self { name, shape, code: reader.u32()?, offset: reader.u64()? })
    }

    fn check(self, start: usize, len: usize, alignment: u64) -> Result<Entry, GgufProblem> {
        let Self { name: tensor, shape, code, offset: begin } = self;
        let Some(dtype) = GgmlType::from_code(code) else {
            return Err(GgufProblem::UnknownType { tensor, found: code });
        };
        let row = shape.last().copied().unwrap_or(1);
        let elements = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size));
        let bytes = elements
            .filter(|_| row.is_multiple_of(dtype.block as u64))
            .and_then(|count| (count / dtype.block as u64).checked_mul(dtype.bytes as u64));
        let usizes = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        let (Some(bytes), Some(sizes)) = (bytes, usizes) else {
            return Err(GgufProblem::Shape { tensor, shape, dtype: dtype.name() });
        };
        let available = (len - start) as u64;
        let end = begin.saturating_add(bytes);
        if end > available || !begin.is_multiple_of(alignment) {
            return Err(GgufProblem::OutOfRange { tensor, begin, end, available, alignment });
        }
        Ok(Entry { dtype, shape: sizes, range: start + begin as usize..start + end as usize })
    }
}

/// A shape that ComfyUI-GGUF noted down, if it has as many elements as there are.
fn reshaped(tensor: &str, entry: &Entry, shape: &[u64]) -> Result<Vec<usize>, GgufProblem> {
    let product = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size));
    let elements: usize = entry.shape.iter().product();
    let sizes: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    match sizes.filter(|_| product == Some(elements as u64) && shape.len() <= MAX_RANK as usize) {
        Some(sizes) => Ok(sizes),
        None => Err(GgufProblem::Shape {
            tensor: tensor.into(),
            shape: shape.to_vec(),
            dtype: entry.dtype.name(),
        }),
    }
}

fn check_overlap(entries: &BTreeMap<String, Entry>) -> Result<(), GgufProblem> {
    let mut sorted: Vec<_> = entries.iter().filter(|(_, entry)| !entry.range.is_empty()).collect();
    sorted.sort_by_key(|(_, entry)| entry.range.start);
    match sorted.windows(2).find(|pair| pair[1].1.range.start < pair[0].1.range.end) {
        Some(pair) => {
            Err(GgufProblem::Overlap { first: pair[0].0.clone(), second: pair[1].0.clone() })
        }
        None => Ok(()),
    }
}
