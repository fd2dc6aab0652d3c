//! The names that diffusers and transformers give to files of weights.

use super::sharded::is_plain_name;

/// Ends of the names of files.
const SAFETENSORS: &str = "safetensors";
const TORCH: &str = "bin";

/// The stem of transformers' files.
pub(crate) const TRANSFORMERS_STEM: &str = "model";

/// The stem of transformers' files from `torch.save`.
const TRANSFORMERS_TORCH_STEM: &str = "pytorch_model";

/// The files that are looked for when weights of a stem and variant are loaded, best first: one of them stands for all.
/// diffusers prefers an index, transformers a single file.
pub(crate) fn entry_names(stem: &str, variant: Option<&str>) -> Vec<String> {
    entries(stem, variant, SAFETENSORS, stem == TRANSFORMERS_STEM)
}

/// The same, for files from `torch.save`. They are looked for when there are no others.
pub(crate) fn torch_entry_names(stem: &str, variant: Option<&str>) -> Vec<String> {
    match stem == TRANSFORMERS_STEM {
        true => entries(TRANSFORMERS_TORCH_STEM, variant, TORCH, true),
        false => entries(stem, variant, TORCH, false),
    }
}

fn entries(stem: &str, variant: Option<&str>, end: &str, single_first: bool) -> Vec<String> {
    let mut names = indices(stem, variant, end);
    let at = if single_first { 0 } else { names.len() };
    names.insert(at, format!("{stem}{}.{end}", dotted(variant)));
    names
}

/// Every name that an index can have, best first.
pub(crate) fn index_names(stem: &str, variant: Option<&str>) -> Vec<String> {
    indices(stem, variant, SAFETENSORS)
}

fn indices(stem: &str, variant: Option<&str>, end: &str) -> Vec<String> {
    let mut names = vec![format!("{stem}.{end}.index{}.json", dotted(variant))];
    if let Some(variant) = variant {
        // Two older orders of the same parts.
        names.push(format!("{stem}.{end}.{variant}.index.json"));
        names.push(format!("{stem}.{variant}.{end}.index.json"));
    }
    names
}

/// The variant in the name of a single file or of an index of this stem, if it has one.
pub(crate) fn variant_of<'n>(name: &'n str, stem: &str) -> Option<&'n str> {
    let torch_stem = if stem == TRANSFORMERS_STEM { TRANSFORMERS_TORCH_STEM } else { stem };
    [(stem, SAFETENSORS), (torch_stem, TORCH)]
        .into_iter()
        .find_map(|(stem, end)| variant_with(name.strip_prefix(stem)?.strip_prefix('.')?, end))
}

fn variant_with<'n>(rest: &'n str, end: &str) -> Option<&'n str> {
    let variant = match rest.strip_suffix(".json") {
        Some(rest) => {
            let new = rest.strip_prefix(end).and_then(|rest| rest.strip_prefix(".index."));
            let old = || rest.strip_prefix(end)?.strip_prefix('.')?.strip_suffix(".index");
            let oldest = || rest.strip_suffix(".index")?.strip_suffix(end)?.strip_suffix('.');
            new.or_else(old).or_else(oldest)?
        }
        None => rest.strip_suffix(end)?.strip_suffix('.')?,
    };
    let plain = !variant.is_empty() && !variant.contains('.') && is_plain_name(variant);
    (plain && !is_shard(variant)).then_some(variant)
}

/// `STEM.safetensors` or `STEM.VARIANT.safetensors`.
pub(crate) fn single_name(stem: &str, variant: Option<&str>) -> String {
    format!("{stem}{}.{SAFETENSORS}", dotted(variant))
}

/// `STEM.safetensors.index.json` or `STEM.safetensors.index.VARIANT.json`.
pub(crate) fn index_name(stem: &str, variant: Option<&str>) -> String {
    format!("{stem}.{SAFETENSORS}.index{}.json", dotted(variant))
}

/// `STEM-00001-of-00003.safetensors` or `STEM.VARIANT-00001-of-00003.safetensors`; `number` counts from 1.
pub(crate) fn shard_name(stem: &str, variant: Option<&str>, number: usize, count: usize) -> String {
    format!("{stem}{}-{number:05}-of-{count:05}.{SAFETENSORS}", dotted(variant))
}

fn dotted(variant: Option<&str>) -> String {
    variant.map(|variant| format!(".{variant}")).unwrap_or_default()
}

/// Whether a name ends as shards do: `-00001-of-00003`.
pub(crate) fn is_shard(name: &str) -> bool {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once("-of-")
        .and_then(|(rest, count)| Some((rest.rsplit_once('-')?.1, count)))
        .is_some_and(|(number, count)| is_number(number) && is_number(count))
}
