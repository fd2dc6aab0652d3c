//! The zip archives that `torch.save` writes since 1.6: `NAME/data.pkl`, and `NAME/data/KEY` for each storage.

use std::{collections::HashMap, io::Cursor, ops::Range};

use zip::{CompressionMethod, ZipArchive};

use super::{Contents, TorchProblem, storages::Storages};

const PICKLE: &str = "data.pkl";

/// Entries of one archive.
const MAX_ENTRIES: usize = 1 << 17;

/// What an archive holds.
pub(super) fn open(file: &[u8]) -> Result<Contents<'_>, TorchProblem> {
    let archive = Archive::read(file)?;
    let Some(root) = archive.names().find_map(root) else {
        return Err(archive.without_pickle());
    };
    if let Some(entry) = archive.names().find(|name| name.starts_with(&format!("{root}code/"))) {
        return Err(TorchProblem::TorchScript { entry: entry.into() });
    }
    let bytes = |name: &str| archive.range(&format!("{root}{name}")).map(|range| &file[range]);
    if archive.has(&format!("{root}byteorder")) && bytes("byteorder")?.trim_ascii() == b"big" {
        return Err(TorchProblem::BigEndian);
    }
    let pickle = bytes(PICKLE)?;
    let mut storages = Storages::default();
    let prefix = format!("{root}data/");
    for name in archive.names() {
        if let Some(key) = name.strip_prefix(&prefix) {
            storages.insert(key.into(), archive.range(name)?);
        }
    }
    Ok(Contents { pickle, storages })
}

/// The folder of the pickle, with a slash behind it if it is one.
fn root(name: &str) -> Option<&str> {
    name.strip_suffix(PICKLE).filter(|root| root.is_empty() || root.ends_with('/'))
}

/// Where the entries of a zip archive lie.
struct Archive {
    entries: HashMap<String, Result<Range<usize>, TorchProblem>>,
    /// In the archive's order.
    names: Vec<String>,
}

impl Archive {
    fn read(file: &[u8]) -> Result<Self, TorchProblem> {
        let broken =
            |error: zip::result::ZipError| TorchProblem::BadArchive { message: error.to_string() };
        let mut zip = ZipArchive::new(Cursor::new(file)).map_err(broken)?;
        if zip.len() > MAX_ENTRIES {
            return Err(TorchProblem::TooMany { what: "entries", limit: MAX_ENTRIES });
        }
        let (mut entries, mut names) = (HashMap::new(), Vec::new());
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(broken)?;
            let name = entry.name().to_owned();
            let how = match (entry.encrypted(), entry.compression()) {
                (true, _) => Some("encrypted"),
                (false, CompressionMethod::Stored) => None,
                _ => Some("compressed"),
            };
            let range = match how {
                Some(how) => Err(TorchProblem::NotStored { entry: name.clone(), how }),
                None => range(entry.data_start(), entry.size(), file.len()).ok_or_else(|| {
                    TorchProblem::BadArchive {
                        message: format!("entry `{name}` ends after the file"),
                    }
                }),
            };
            names.push(name.clone());
            entries.insert(name, range);
        }
        Ok(Self { entries, names })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn range(&self, name: &str) -> Result<Range<usize>, TorchProblem> {
        match self.entries.get(name) {
            Some(range) => range.clone(),
            None => Err(TorchProblem::BadArchive { message: format!("no entry `{name}`") }),
        }
    }

    fn without_pickle(&self) -> TorchProblem {
        let first = self.names.first().cloned().unwrap_or_default();
        TorchProblem::OtherArchive { entries: self.names.len(), first }
    }
}

/// A range that lies in the file.
fn range(start: Option<u64>, len: u64, file: usize) -> Option<Range<usize>> {
    let start = usize::try_from(start?).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= file).then_some(start..end)
}
