//! The header of a safetensors file: parsed and checked against its file, before anything is read.
//!
//! Layout: 8 bytes little-endian length `n`, `n` bytes of JSON, then the data, which the tensors cover without gap or
//! overlap.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use safetensors::Dtype;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::HeaderProblem;

/// Longest header that is accepted, in bytes, the same as in the reference implementation.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Bytes before the header: its length.
pub(crate) const LENGTH_BYTES: usize = 8;

/// One tensor: element type, shape, and where its bytes lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Absolute, in bounds of the file.
    pub(crate) range: std::ops::Range<usize>,
}

/// A header whose every offset has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, String>,
    /// In the order of their bytes.
    pub(crate) entries: Vec<Entry>,
    pub(crate) index: HashMap<String, usize>,
}

impl Header {
    /// Parses and checks the header of a whole file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, HeaderProblem> {
        let (json, data_start) = split(file)?;
        let raw: RawHeader = serde_json::from_str(json)
            .map_err(|error| HeaderProblem::NotJson { message: error.to_string() })?;
        let metadata = unique_metadata(raw.metadata)?;
        let mut entries = raw
            .tensors
            .into_iter()
            .map(|(name, tensor)| tensor.check(name, data_start, file.len()))
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by(|a, b| {
            (a.range.start, a.range.end, &a.name).cmp(&(b.range.start, b.range.end, &b.name))
        });
        let mut index = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            if index.insert(entry.name.clone(), position).is_some() {
                return Err(HeaderProblem::Duplicate { name: entry.name.clone() });
            }
        }
        check_cover(&entries, data_start, file.len())?;
        Ok(Self { metadata, entries, index })
    }
}

/// The JSON text and the offset of the data.
fn split(file: &[u8]) -> Result<(&str, usize), HeaderProblem> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(HeaderProblem::TooShort { found: file.len() });
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(HeaderProblem::TooLarge { found: length });
    }
    let header = usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or(HeaderProblem::BeyondFile { header: length, available: rest.len() as u64 })?;
    let json = std::str::from_utf8(header)
        .map_err(|error| HeaderProblem::NotUtf8 { offset: error.valid_up_to() })?;
    Ok((json, LENGTH_BYTES + header.len()))
}

fn unique_metadata(blocks: Vec<Pairs<String>>) -> Result<BTreeMap<String, String>, HeaderProblem> {
    if blocks.len() > 1 {
        return Err(HeaderProblem::Duplicate { name: METADATA_KEY.into() });
    }
    let mut metadata = BTreeMap::new();
    for (key, value) in blocks.into_iter().flat_map(|block| block.0) {
        if metadata.contains_key(&key) {
            return Err(HeaderProblem::Duplicate { name: format!("{METADATA_KEY}.{key}") });
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// The tensors, sorted by offset, cover the data exactly.
fn check_cover(entries: &[Entry], data_start: usize, file_len: usize) -> Result<(), HeaderProblem> {
    let relative = |offset: usize| (offset - data_start) as u64;
    let mut end = data_start;
    let mut before: Option<&Entry> = None;
    for entry in entries {
        match (entry.range.start.cmp(&end), before) {
            (std::cmp::Ordering::Less, Some(first)) => {
                return Err(HeaderProblem::Overlap {
                    first: first.name.clone(),
                    second: entry.name.clone(),
                    at: relative(entry.range.start),
                });
            }
            (std::cmp::Ordering::Equal, _) => {}
            _ => {
                return Err(HeaderProblem::Gap {
                    tensor: entry.name.clone(),
                    expected: relative(end),
                    begin: relative(entry.range.start),
                });
            }
        }
        end = entry.range.end;
        if !entry.range.is_empty() {
            before = Some(entry);
        }
    }
    if end != file_len {
        return Err(HeaderProblem::TrailingData {
            described: relative(end),
            found: relative(file_len),
        });
    }
    Ok(())
}

/// The one key of the header that names no tensor.
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// The header as it stands in the file, repeated keys included: a map would swallow them.
struct RawHeader {
    metadata: Vec<Pairs<String>>,
    tensors: Vec<(String, RawTensor)>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl RawTensor {
    /// Checks everything that can be checked of one tensor alone.
    fn check(
        self,
        tensor: String,
        data_start: usize,
        file_len: usize,
    ) -> Result<Entry, HeaderProblem> {
        let Self { dtype, shape, data_offsets: (begin, end) } = self;
        let dtype = parse_dtype(&dtype)
            .ok_or_else(|| HeaderProblem::UnknownDtype { tensor: tensor.clone(), dtype })?;
        if end < begin {
            return Err(HeaderProblem::Reversed { tensor, begin, end });
        }
        let available = (file_len - data_start) as u64;
        if end > available {
            return Err(HeaderProblem::OutOfRange { tensor, begin, end, available });
        }
        let Some(bits) = bit_len(&shape, dtype) else {
            return Err(HeaderProblem::Overflow { tensor, shape, dtype });
        };
        let found = end - begin;
        if !(found * 8).is_multiple_of(dtype.bitsize() as u64) || !bits.is_multiple_of(8) {
            return Err(HeaderProblem::Misaligned { tensor, begin, end, dtype });
        }
        if bits / 8 != found {
            return Err(HeaderProblem::SizeMismatch {
                tensor,
                shape,
                dtype,
                expected: bits / 8,
                found,
            });
        }
        // Both fit: they are at most the length of a slice.
        let range = data_start + begin as usize..data_start + end as usize;
        Ok(Entry { name: tensor, dtype, shape, range })
    }
}

/// Size in bits of a tensor, unless it overflows.
fn bit_len(shape: &[usize], dtype: Dtype) -> Option<u64> {
    shape.iter().try_fold(dtype.bitsize() as u64, |bits, &dim| bits.checked_mul(dim as u64))
}

/// Size in bytes of a tensor, unless it overflows or ends within a byte.
pub(crate) fn byte_len(shape: &[usize], dtype: Dtype) -> Option<u64> {
    bit_len(shape, dtype).filter(|bits| bits.is_multiple_of(8)).map(|bits| bits / 8)
}

/// A dtype by the name that files give it.
fn parse_dtype(name: &str) -> Option<Dtype> {
    Dtype::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name)).ok()
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader { metadata: Vec::new(), tensors: Vec::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA_KEY {
                        header.metadata.push(map.next_value()?);
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// A JSON object as its pairs, repeated keys included.
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor(std::marker::PhantomData))
    }
}
