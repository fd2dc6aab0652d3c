//! Key tables as data: which name in a file stands for which parameter of a module, in both directions.

use std::{borrow::Cow, collections::HashMap};

/// Longest name, in dot-separated segments, that rules look at; names of strangers' files may be of any length.
const MAX_SEGMENTS: usize = 64;

/// One row of a key table: a pattern of names in the file, and the pattern of the module paths they stand for.
///
/// Patterns are dot-separated segments. `*` stands for any one segment, `**` for any number of them, none included. Both
/// sides have the same wildcards in the same order, so that a row reads in either direction:
/// `**.attentions.*.query.*` ↔ `**.attentions.*.to_q.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    file: Cow<'static, str>,
    module: Cow<'static, str>,
}

/// A rule whose two sides have different wildcards, so that it has no inverse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key rule `{file}` <-> `{module}` has different wildcards on its two sides")]
pub struct KeyRuleError {
    /// The file's side.
    pub file: String,
    /// The module's side.
    pub module: String,
}

impl KeyRule {
    /// A row of a constant table; evaluate it in a `const`, and a faulty row does not compile.
    ///
    /// # Panics
    /// When the two sides have different wildcards. For patterns known only at run time see [`KeyRule::parse`].
    pub const fn new(file: &'static str, module: &'static str) -> Self {
        assert!(
            same_wildcards(file.as_bytes(), module.as_bytes()),
            "both sides of a key rule need the same wildcards"
        );
        Self { file: Cow::Borrowed(file), module: Cow::Borrowed(module) }
    }

    /// A row made of one of this crate's own patterns.
    pub(super) fn both(file: String, module: String) -> Self {
        debug_assert!(same_wildcards(file.as_bytes(), module.as_bytes()), "{file} <-> {module}");
        Self { file: Cow::Owned(file), module: Cow::Owned(module) }
    }

    /// A row made at run time, such as one for each block of a model.
    ///
    /// # Errors
    /// [`KeyRuleError`] when the two sides have different wildcards.
    pub fn parse(file: impl Into<String>, module: impl Into<String>) -> Result<Self, KeyRuleError> {
        let (file, module) = (file.into(), module.into());
        if !same_wildcards(file.as_bytes(), module.as_bytes()) {
            return Err(KeyRuleError { file, module });
        }
        Ok(Self { file: Cow::Owned(file), module: Cow::Owned(module) })
    }
}

/// The next run of `*` at or after `at`: its length and the offset behind it; length 0 at the end.
const fn next_wildcard(pattern: &[u8], mut at: usize) -> (usize, usize) {
    while at < pattern.len() && pattern[at] != b'*' {
        at += 1;
    }
    let start = at;
    while at < pattern.len() && pattern[at] == b'*' {
        at += 1;
    }
    (at - start, at)
}

const fn same_wildcards(left: &[u8], right: &[u8]) -> bool {
    let (mut left_at, mut right_at) = (0, 0);
    loop {
        let (left_run, left_next) = next_wildcard(left, left_at);
        let (right_run, right_next) = next_wildcard(right, right_at);
        if left_run != right_run {
            return false;
        }
        if left_run == 0 {
            return true;
        }
        (left_at, right_at) = (left_next, right_next);
    }
}

/// How the names of a file become the paths of a module's parameters, and back.
///
/// Rules are tried in order and the first that matches applies; a name that none matches stays as it is. Tables compose
/// with [`then`](Self::then), so that outer names (blocks) and inner names (layers of a block) are separate short tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTable {
    stages: Vec<Stage>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stage {
    rules: Vec<KeyRule>,
    ignored: Vec<Cow<'static, str>>,
}

/// Names on which a table is no bijection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotBijective {
    /// Two names in the file for one path.
    #[error("keys `{first}` and `{second}` both become `{path}`")]
    Collision {
        /// One name.
        first: String,
        /// The other.
        second: String,
        /// The path of both.
        path: String,
    },
    /// A path whose way back ends elsewhere.
    #[error("key `{key}` becomes `{path}`, which comes back as `{back}`")]
    NoReturn {
        /// The name in the file.
        key: String,
        /// Its path.
        path: String,
        /// What the path becomes.
        back: String,
    },
}

impl KeyTable {
    /// A table of these rules, in this order. [`KeyTable::default`] leaves every name as it is.
    pub fn new(rules: impl IntoIterator<Item = KeyRule>) -> Self {
        Self { stages: vec![Stage { rules: rules.into_iter().collect(), ignored: Vec::new() }] }
    }

    /// Leaves out names that match `pattern`: buffers that are no parameters. They are not reported as unexpected.
    pub fn ignore(mut self, pattern: impl Into<Cow<'static, str>>) -> Self {
        match self.stages.last_mut() {
            Some(stage) => stage.ignored.push(pattern.into()),
            None => self.stages.push(Stage { rules: Vec::new(), ignored: vec![pattern.into()] }),
        }
        self
    }

    /// This table, and then `inner` on its results.
    pub fn then(mut self, inner: Self) -> Self {
        self.stages.extend(inner.stages);
        self
    }

    /// The module path of a name in the file; `None` for an ignored one.
    pub fn to_module(&self, key: &str) -> Option<String> {
        self.stages.iter().try_fold(key.to_owned(), |key, stage| {
            if stage.ignored.iter().any(|pattern| captures(pattern, &key).is_some()) {
                return None;
            }
            Some(rename(&key, stage.rules.iter().map(|rule| (&*rule.file, &*rule.module))))
        })
    }

    /// The name in the file of a module path.
    pub fn to_file(&self, path: &str) -> String {
        self.stages.iter().rev().fold(path.to_owned(), |path, stage| {
            rename(&path, stage.rules.iter().map(|rule| (&*rule.module, &*rule.file)))
        })
    }

    /// Checks that each of these names in a file has a path of its own that leads back to it.
    ///
    /// # Errors
    /// [`NotBijective`], with the first offender.
    pub fn check_bijective<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), NotBijective> {
        let mut seen: HashMap<String, &str> = HashMap::new();
        for key in keys {
            let Some(path) = self.to_module(key) else { continue };
            let back = self.to_file(&path);
            if back != key {
                return Err(NotBijective::NoReturn { key: key.into(), path, back });
            }
            if let Some(first) = seen.insert(path.clone(), key) {
                return Err(NotBijective::Collision {
                    first: first.into(),
                    second: key.into(),
                    path,
                });
            }
        }
        Ok(())
    }
}

impl FromIterator<KeyRule> for KeyTable {
    fn from_iter<I: IntoIterator<Item = KeyRule>>(rules: I) -> Self {
        Self::new(rules)
    }
}

fn rename<'a>(name: &str, mut rules: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    rules
        .find_map(|(from, to)| captures(from, name).map(|captured| substitute(to, &captured)))
        .unwrap_or_else(|| name.to_owned())
}

/// What the wildcards of a pattern stand for in a name, when it matches. `**` takes as little as it can.
fn captures<'n>(pattern: &str, name: &'n str) -> Option<Vec<Vec<&'n str>>> {
    let name: Vec<&str> = name.split('.').take(MAX_SEGMENTS + 1).collect();
    if name.len() > MAX_SEGMENTS {
        return None;
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let mut captured = Vec::new();
    match_segments(&pattern, &name, &mut captured).then_some(captured)
}

fn match_segments<'n>(
    pattern: &[&str],
    name: &[&'n str],
    captured: &mut Vec<Vec<&'n str>>,
) -> bool {
    let Some((&first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    if first == "**" {
        return (0..=name.len()).any(|count| {
            captured.push(name[..count].to_vec());
            let matched = match_segments(rest, &name[count..], captured);
            if !matched {
                captured.pop();
            }
            matched
        });
    }
    let Some((&segment, name)) = name.split_first() else {
        return false;
    };
    if first != "*" {
        return first == segment && match_segments(rest, name, captured);
    }
    captured.push(vec![segment]);
    let matched = match_segments(rest, name, captured);
    if !matched {
        captured.pop();
    }
    matched
}

fn substitute(pattern: &str, captured: &[Vec<&str>]) -> String {
    let mut captured = captured.iter();
    let mut segments = Vec::new();
    for segment in pattern.split('.') {
        match segment {
            "*" | "**" => segments.extend(captured.next().into_iter().flatten().copied()),
            literal => segments.push(literal),
        }
    }
    segments.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_carry_over_in_both_directions() {
        let table = KeyTable::new([KeyRule::new("**.attn.*.query.**", "**.attention.*.to_q.**")]);
        for (key, path) in [
            ("a.b.attn.0.query.weight", "a.b.attention.0.to_q.weight"),
            ("attn.0.query", "attention.0.to_q"),
            ("attn.query.weight", "attn.query.weight"),
        ] {
            assert_eq!(table.to_module(key).unwrap(), path);
            assert_eq!(table.to_file(path), key);
        }
    }

    #[test]
    fn the_first_rule_that_matches_applies_and_tables_compose() {
        let outer = KeyTable::new([
            KeyRule::new("input_blocks.0.0.**", "conv_in.**"),
            KeyRule::new("input_blocks.1.0.**", "down_blocks.0.resnets.0.**"),
            KeyRule::new("input_blocks.**", "never.**"),
        ]);
        let inner =
            KeyTable::new([KeyRule::new("**.resnets.*.in_layers.0.*", "**.resnets.*.norm1.*")]);
        let table = outer.then(inner);
        assert_eq!(
            table.to_module("input_blocks.1.0.in_layers.0.bias").unwrap(),
            "down_blocks.0.resnets.0.norm1.bias"
        );
        assert_eq!(
            table.to_file("down_blocks.0.resnets.0.norm1.bias"),
            "input_blocks.1.0.in_layers.0.bias"
        );
        table
            .check_bijective(["input_blocks.0.0.weight", "input_blocks.1.0.in_layers.0.bias"])
            .unwrap();
    }

    #[test]
    fn names_of_adapters_are_exact_rows() {
        let rows = [("lora_unet_mid_block_attentions_0_proj_in", "mid_block.attentions.0.proj_in")];
        let table: KeyTable = rows
            .iter()
            .map(|(file, module)| {
                KeyRule::parse(format!("{file}.**"), format!("{module}.**")).unwrap()
            })
            .collect();
        assert_eq!(
            table.to_module("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight").unwrap(),
            "mid_block.attentions.0.proj_in.lora_up.weight"
        );
    }

    #[test]
    fn a_rule_without_inverse_is_refused() {
        let error = KeyRule::parse("a.*.b", "a.b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "key rule `a.*.b` <-> `a.b` has different wildcards on its two sides"
        );
        assert!(KeyRule::parse("**.a.*", "*.a.**").is_err());
    }

    #[test]
    fn what_is_no_bijection_is_told() {
        let table = KeyTable::new([KeyRule::new("a.*", "b.*")]);
        assert_eq!(
            table.check_bijective(["b.weight"]).unwrap_err().to_string(),
            "key `b.weight` becomes `b.weight`, which comes back as `a.weight`"
        );
        let table = KeyTable::new([KeyRule::new("a.*", "b.*"), KeyRule::new("c.*", "b.*")]);
        assert!(matches!(
            table.check_bijective(["a.w", "c.w"]),
            Err(NotBijective::NoReturn { .. })
        ));
        let table = KeyTable::new([]).ignore("**.position_ids");
        assert!(matches!(table.check_bijective(["a", "a"]), Err(NotBijective::Collision { .. })));
        assert_eq!(table.to_module("embeddings.position_ids"), None);
        assert_eq!(table.to_module("position_ids"), None);
    }

    #[test]
    fn endless_names_are_left_alone() {
        let key = "a.".repeat(100_000);
        let table = KeyTable::new([KeyRule::new("**.a.**.b.**", "**.a.**.c.**")]);
        assert_eq!(table.to_module(&key).unwrap(), key);
    }
}
