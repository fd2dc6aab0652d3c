//! Recognising what a file is that claims to hold weights and does not, or holds them in another format.

use std::fmt;

/// A format that is often found under the name of a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForeignFormat {
    /// A web page, usually an error or a login page that was saved instead of the file.
    Html,
    /// A pointer of Git LFS, left when the file itself was not fetched.
    GitLfsPointer,
    /// A zip archive: what `torch.save` writes (.ckpt, .bin, .pt).
    Zip,
    /// A bare Python pickle (old .ckpt, .bin, .pt).
    Pickle,
    /// Weights of llama.cpp and its kin.
    Gguf,
    /// HDF5, as Keras writes it.
    Hdf5,
    /// A NumPy array.
    Numpy,
    /// Compressed by gzip.
    Gzip,
    /// Another archive, packed or compressed.
    Archive,
    /// An image.
    Image,
    /// XML, such as the error message of an object store.
    Xml,
    /// JSON, such as an index or an error message.
    Json,
    /// Some other text.
    Text,
    /// Zero bytes, as an interrupted download leaves them.
    Zeros,
}

impl fmt::Display for ForeignFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "an HTML page (a failed download?)",
            Self::GitLfsPointer => "a Git LFS pointer, not the file itself (run `git lfs pull`)",
            Self::Zip => "a zip archive, probably a PyTorch checkpoint (.ckpt, .bin, .pt)",
            Self::Pickle => "a Python pickle (.ckpt, .bin, .pt)",
            Self::Gguf => "a GGUF file",
            Self::Hdf5 => "an HDF5 file",
            Self::Numpy => "a NumPy array",
            Self::Gzip => "gzip-compressed data",
            Self::Archive => "a packed archive (unpack it)",
            Self::Image => "an image",
            Self::Xml => "XML (a failed download?)",
            Self::Json => "a JSON file",
            Self::Text => "a text file",
            Self::Zeros => "nothing but zeros (an interrupted download?)",
        })
    }
}

impl ForeignFormat {
    /// Guesses from a file's first bytes; `None` when they say nothing.
    ///
    /// Only for files that failed to parse as safetensors: the length that such a file starts with can equal another
    /// format's magic number by chance.
    pub fn detect(start: &[u8]) -> Option<Self> {
        const MAGIC: &[(&[u8], ForeignFormat)] = &[
            (b"PK\x03\x04", ForeignFormat::Zip),
            (b"PK\x05\x06", ForeignFormat::Zip),
            (b"GGUF", ForeignFormat::Gguf),
            (b"\x89HDF\r\n", ForeignFormat::Hdf5),
            (b"\x93NUMPY", ForeignFormat::Numpy),
            (b"\x1f\x8b", ForeignFormat::Gzip),
            (b"7z\xbc\xaf\x27\x1c", ForeignFormat::Archive),
            (b"Rar!", ForeignFormat::Archive),
            (b"BZh", ForeignFormat::Archive),
            (b"\xfd7zXZ\0", ForeignFormat::Archive),
            (b"\x28\xb5\x2f\xfd", ForeignFormat::Archive),
            (b"\x89PNG", ForeignFormat::Image),
            (b"\xff\xd8\xff", ForeignFormat::Image),
            (b"RIFF", ForeignFormat::Image),
            (b"GIF8", ForeignFormat::Image),
        ];
        if start.is_empty() {
            return None;
        }
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*format);
        }
        // Also what PyTorch wrote before 0.2.
        if start.get(257..262) == Some(b"ustar") {
            return Some(Self::Archive);
        }
        // Protocols 2 to 5 open with their number, then a frame, an object or a memoised constant.
        if matches!(start, [0x80, 2..=5, b'}' | b']' | b'(' | b'c' | b'\x95' | b'\x8a', ..]) {
            return Some(Self::Pickle);
        }
        if start.len() >= 8 && start.iter().all(|&byte| byte == 0) {
            return Some(Self::Zeros);
        }
        Self::detect_text(start)
    }

    fn detect_text(start: &[u8]) -> Option<Self> {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let head = start[..start.len().min(64)].to_ascii_lowercase();
        if head.starts_with(b"<!doctype html")
            || head.starts_with(b"<html")
            || head.starts_with(b"<head")
        {
            return Some(Self::Html);
        }
        if head.starts_with(b"<?xml") || head.starts_with(b"<error") {
            return Some(Self::Xml);
        }
        if head.starts_with(b"version https://git-lfs") {
            return Some(Self::GitLfsPointer);
        }
        if !is_text(start) {
            return None;
        }
        match head.first()? {
            b'{' | b'[' => Some(Self::Json),
            _ => Some(Self::Text),
        }
    }
}

/// Whether these bytes are printable UTF-8; a character cut off at the end is forgiven.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.len() >= 2 && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_found_is_recognised() {
        let cases: &[(&[u8], ForeignFormat)] = &[
            (b"<!DOCTYPE html><html>", ForeignFormat::Html),
            (b"\n  <HTML lang=en>", ForeignFormat::Html),
            (b"\xef\xbb\xbf<html>", ForeignFormat::Html),
            (b"<?xml version='1.0'?><Error>", ForeignFormat::Xml),
            (b"version https://git-lfs\noid sha256:0", ForeignFormat::GitLfsPointer),
            (b"PK\x03\x04\x00\x00", ForeignFormat::Zip),
            (b"\x80\x02}q\x00", ForeignFormat::Pickle),
            (b"\x80\x04\x95\x00", ForeignFormat::Pickle),
            (b"GGUF\x03\x00\x00\x00", ForeignFormat::Gguf),
            (b"\x89PNG\r\n\x1a\n", ForeignFormat::Image),
            (b"7z\xbc\xaf\x27\x1c\0\x04", ForeignFormat::Archive),
            (b"{\"error\": \"gone\"}", ForeignFormat::Json),
            (b"Entry not found", ForeignFormat::Text),
            ("Zugriff verweigert: ä".as_bytes(), ForeignFormat::Text),
            (&[0; 16], ForeignFormat::Zeros),
        ];
        for (bytes, format) in cases {
            assert_eq!(ForeignFormat::detect(bytes), Some(*format), "{bytes:?}");
        }
    }

    #[test]
    fn a_cut_character_is_still_text() {
        let bytes = "Zugriff verweigert: ä".as_bytes();
        assert_eq!(ForeignFormat::detect(&bytes[..bytes.len() - 1]), Some(ForeignFormat::Text));
    }

    #[test]
    fn unknown_bytes_are_left_unnamed() {
        assert_eq!(ForeignFormat::detect(b""), None);
        assert_eq!(ForeignFormat::detect(&[3, 1, 200, 7, 0, 0, 0, 0]), None);
        assert_eq!(ForeignFormat::detect(&[0x80, 2, 0, 0, 0, 0, 0, 0]), None);
    }
}
