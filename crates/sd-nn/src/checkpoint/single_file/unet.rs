//! The U-Net of LDM and SGM: numbered blocks there, levels of layers here.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{KeyRule, KeyTable};

/// Blocks and levels beyond this are no U-Net's.
const MAX_NUMBER: usize = 64;

/// Which layers the levels of a U-Net have, told from the names of its tensors in either layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UNetStructure {
    pub(super) down: Vec<Level>,
    pub(super) mid_attention: bool,
    pub(super) up: Vec<Level>,
}

/// One level: for each of its layers whether attention follows the residual block, and whether a sampler ends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) attention: Vec<bool>,
    pub(super) sampler: bool,
}

/// What a numbered block of LDM holds.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    resnet: bool,
    attention: bool,
    sampler: bool,
}

impl UNetStructure {
    /// From names such as `input_blocks.1.0.in_layers.0.weight`.
    pub(super) fn from_ldm<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut input: BTreeMap<usize, Block> = BTreeMap::new();
        let mut output: BTreeMap<usize, Block> = BTreeMap::new();
        let mut mid_attention = false;
        for name in names {
            let parts: Vec<&str> = name.split('.').collect();
            mid_attention |= matches!(parts[..], ["middle_block", _, "transformer_blocks", ..]);
            let [side, number, _, inner, ..] = parts[..] else { continue };
            let blocks = match side {
                "input_blocks" => &mut input,
                "output_blocks" => &mut output,
                _ => continue,
            };
            let Some(number) = small(number) else { continue };
            let block = blocks.entry(number).or_default();
            match inner {
                "in_layers" => block.resnet = true,
                "transformer_blocks" => block.attention = true,
                "op" | "conv" => block.sampler = true,
                _ => {}
            }
        }
        // The first is the convolution that all begins with.
        input.remove(&0);
        Self { down: levels(input.values()), mid_attention, up: levels(output.values()) }
    }

    /// From names such as `down_blocks.0.resnets.0.norm1.weight`.
    pub(super) fn from_diffusers<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = BTreeSet::new();
        let mut mid_attention = false;
        for name in names {
            let parts: Vec<&str> = name.split('.').collect();
            mid_attention |= parts.starts_with(&["mid_block", "attentions"]);
            if let [side @ ("down_blocks" | "up_blocks"), level, kind, layer, ..] = parts[..]
                && let (Some(level), Some(layer)) = (small(level), small(layer))
            {
                found.insert((side, level, kind, layer));
            }
        }
        let side = |side: &str| -> Vec<Level> {
            let has = |level, kind, layer| found.contains(&(side, level, kind, layer));
            let level = |level| {
                let attention = (0..)
                    .take_while(|&layer| has(level, "resnets", layer))
                    .map(|layer| has(level, "attentions", layer))
                    .collect();
                let sampler = has(level, "downsamplers", 0) || has(level, "upsamplers", 0);
                Level { attention, sampler }
            };
            (0..).take_while(|&at| has(at, "resnets", 0)).map(level).collect()
        };
        Self { down: side("down_blocks"), mid_attention, up: side("up_blocks") }
    }

    /// Checks against the tensors' names, which are those of diffusers, that the configuration that is made of this describes
    /// all of it; else says what it would not.
    pub(super) fn check(&self, names: &[String]) -> Result<(), String> {
        let layers = self.down.first().map_or(0, |level| level.attention.len());
        let sides = [("down", &self.down, layers), ("up", &self.up, layers + 1)];
        for (side, levels, layers) in sides {
            for (at, Level { attention, sampler }) in levels.iter().enumerate() {
                if attention.len() != layers {
                    let found = attention.len();
                    return Err(format!("{side}_blocks.{at} has {found} layers, not {layers}"));
                }
                if attention.contains(&true) && attention.contains(&false) {
                    return Err(format!("some layers of {side}_blocks.{at} have no attention"));
                }
                if *sampler == (at + 1 == levels.len()) {
                    return Err(format!(
                        "{side}_blocks.{at} changes size, or does not, unlike others"
                    ));
                }
            }
        }
        if self.down.len() != self.up.len() {
            return Err(format!("{} levels go down and {} up", self.down.len(), self.up.len()));
        }
        let resnets = self.mid_resnets(names);
        if resnets > 2 || self.mid_attention != (resnets == 2) {
            return Err(format!("mid_block has {resnets} residual blocks"));
        }
        self.check_depths(names)
    }

    /// Residual blocks of the middle.
    pub(super) fn mid_resnets(&self, names: &[String]) -> usize {
        let has = |at: usize| {
            let start = format!("mid_block.resnets.{at}.");
            names.iter().any(|name| name.starts_with(&start))
        };
        (0..MAX_NUMBER).take_while(|&at| has(at)).count()
    }

    /// One number of transformer layers for all attentions of a level, on its way down and up.
    fn check_depths(&self, names: &[String]) -> Result<(), String> {
        let mut layers: BTreeSet<(&str, &str)> = BTreeSet::new();
        for name in names {
            if let Some((path, rest)) = name.split_once(".transformer_blocks.")
                && let Some((layer, _)) = rest.split_once('.')
            {
                layers.insert((path, layer));
            }
        }
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        for (path, _) in layers {
            *depths.entry(path).or_default() += 1;
        }
        let mut levels: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
        for (path, depth) in depths {
            let parts: Vec<&str> = path.split('.').collect();
            let level = match parts[..] {
                ["down_blocks", level, ..] => small(level),
                // The way up begins with the deepest.
                ["up_blocks", level, ..] => {
                    small(level).and_then(|level| self.up.len().checked_sub(level + 1))
                }
                _ => self.down.len().checked_sub(1),
            };
            let Some(level) = level else { continue };
            let (first, expected) = *levels.entry(level).or_insert((path, depth));
            if depth != expected {
                return Err(format!(
                    "{first} has {expected} transformer layers, and {path} has {depth}"
                ));
            }
        }
        Ok(())
    }

    /// The key table: names of LDM ↔ names of diffusers.
    pub(super) fn table(&self) -> KeyTable {
        let mut rules = FIXED.to_vec();
        let mut add = |file: String, module: String| rules.push(KeyRule::both(file, module));
        let mut number = 1;
        for (at, level) in self.down.iter().enumerate() {
            for (layer, attention) in level.attention.iter().enumerate() {
                let block = format!("input_blocks.{number}");
                add(format!("{block}.0.**"), format!("down_blocks.{at}.resnets.{layer}.**"));
                if *attention {
                    add(format!("{block}.1.**"), format!("down_blocks.{at}.attentions.{layer}.**"));
                }
                number += 1;
            }
            if level.sampler {
                let module = format!("down_blocks.{at}.downsamplers.0.conv.*");
                add(format!("input_blocks.{number}.0.op.*"), module);
                number += 1;
            }
        }
        let mut number = 0;
        for (at, level) in self.up.iter().enumerate() {
            for (layer, attention) in level.attention.iter().enumerate() {
                let block = format!("output_blocks.{number}");
                add(format!("{block}.0.**"), format!("up_blocks.{at}.resnets.{layer}.**"));
                if level.sampler && layer + 1 == level.attention.len() {
                    // Behind the attention, if there is one.
                    let place = if *attention { 2 } else { 1 };
                    let module = format!("up_blocks.{at}.upsamplers.0.conv.*");
                    add(format!("{block}.{place}.conv.*"), module);
                }
                if *attention {
                    add(format!("{block}.1.**"), format!("up_blocks.{at}.attentions.{layer}.**"));
                }
                number += 1;
            }
        }
        let second = if self.mid_attention { 2 } else { 1 };
        add(format!("middle_block.{second}.**"), "mid_block.resnets.1.**".into());
        if self.mid_attention {
            add("middle_block.1.**".into(), "mid_block.attentions.0.**".into());
        }
        KeyTable::new(rules).then(KeyTable::new(RESNET.iter().cloned()))
    }
}

/// Blocks in the order of their numbers as levels, which end with a sampler.
fn levels<'a>(blocks: impl Iterator<Item = &'a Block>) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut level = Level::default();
    for block in blocks {
        if block.resnet {
            level.attention.push(block.attention);
        }
        if block.sampler {
            level.sampler = true;
            levels.push(std::mem::take(&mut level));
        }
    }
    if !level.attention.is_empty() {
        levels.push(level);
    }
    levels
}

fn small(number: &str) -> Option<usize> {
    number.parse().ok().filter(|number| *number < MAX_NUMBER)
}

/// What stands outside of the blocks.
const FIXED: &[KeyRule] = &[
    KeyRule::new("time_embed.0.*", "time_embedding.linear_1.*"),
    KeyRule::new("time_embed.2.*", "time_embedding.linear_2.*"),
    KeyRule::new("time_embed.cond_proj.*", "time_embedding.cond_proj.*"),
    KeyRule::new("label_emb.0.0.*", "add_embedding.linear_1.*"),
    KeyRule::new("label_emb.0.2.*", "add_embedding.linear_2.*"),
    KeyRule::new("label_emb.weight", "class_embedding.weight"),
    KeyRule::new("input_blocks.0.0.*", "conv_in.*"),
    KeyRule::new("middle_block.0.**", "mid_block.resnets.0.**"),
    KeyRule::new("out.0.*", "conv_norm_out.*"),
    KeyRule::new("out.2.*", "conv_out.*"),
];

/// Inside a residual block.
const RESNET: &[KeyRule] = &[
    KeyRule::new("**.resnets.*.in_layers.0.*", "**.resnets.*.norm1.*"),
    KeyRule::new("**.resnets.*.in_layers.2.*", "**.resnets.*.conv1.*"),
    KeyRule::new("**.resnets.*.out_layers.0.*", "**.resnets.*.norm2.*"),
    KeyRule::new("**.resnets.*.out_layers.3.*", "**.resnets.*.conv2.*"),
    KeyRule::new("**.resnets.*.emb_layers.1.*", "**.resnets.*.time_emb_proj.*"),
    KeyRule::new("**.resnets.*.skip_connection.*", "**.resnets.*.conv_shortcut.*"),
];
