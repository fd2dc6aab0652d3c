//! Where the storages of a file lie.

use std::{collections::HashMap, ops::Range};

/// Ranges of bytes of the file, by the keys of the storages.
#[derive(Debug, Default)]
pub(super) struct Storages {
    ranges: HashMap<String, Range<usize>>,
}

impl Storages {
    pub(super) fn insert(&mut self, key: String, range: Range<usize>) {
        self.ranges.insert(key, range);
    }

    pub(super) fn get(&self, key: &str) -> Option<Range<usize>> {
        self.ranges.get(key).cloned()
    }
}
