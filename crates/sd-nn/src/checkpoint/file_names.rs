//! The names that diffusers and transformers give to files of weights.

/// The stem of transformers' files.
pub(crate) const TRANSFORMERS_STEM: &str = "model";

/// The files that are looked for when weights of a stem and variant are loaded, best first: one of them stands for all.
/// diffusers prefers an index, transformers a single file.
pub(crate) fn entry_names(stem: &str, variant: Option<&str>) -> Vec<String> {
    let mut names = index_names(stem, variant);
    let single = single_name(stem, variant);
    if stem == TRANSFORMERS_STEM {
        names.insert(0, single);
    } else {
        names.push(single);
    }
    names
}

/// Every name that an index can have, best first.
pub(crate) fn index_names(stem: &str, variant: Option<&str>) -> Vec<String> {
    let mut names = vec![index_name(stem, variant)];
    if let Some(variant) = variant {
        // Two older orders of the same parts.
        names.push(format!("{stem}.safetensors.{variant}.index.json"));
        names.push(format!("{stem}.{variant}.safetensors.index.json"));
    }
    names
}

/// `STEM.safetensors` or `STEM.VARIANT.safetensors`.
pub(crate) fn single_name(stem: &str, variant: Option<&str>) -> String {
    format!("{stem}{}.safetensors", dotted(variant))
}

/// `STEM.safetensors.index.json` or `STEM.safetensors.index.VARIANT.json`.
pub(crate) fn index_name(stem: &str, variant: Option<&str>) -> String {
    format!("{stem}.safetensors.index{}.json", dotted(variant))
}

/// `STEM-00001-of-00003.safetensors` or `STEM.VARIANT-00001-of-00003.safetensors`; `number` counts from 1.
pub(crate) fn shard_name(stem: &str, variant: Option<&str>, number: usize, count: usize) -> String {
    format!("{stem}{}-{number:05}-of-{count:05}.safetensors", dotted(variant))
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
