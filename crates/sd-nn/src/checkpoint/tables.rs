//! The key tables of files in diffusers' layout, whose names already equal the module paths but for the rows here.

use super::{KeyRule, KeyTable, WeightSource};

/// Names of the attention in old autoencoders (diffusers before 0.13).
const LEGACY_ATTENTION: &[KeyRule] = &[
    KeyRule::new("**.attentions.*.query.*", "**.attentions.*.to_q.*"),
    KeyRule::new("**.attentions.*.key.*", "**.attentions.*.to_k.*"),
    KeyRule::new("**.attentions.*.value.*", "**.attentions.*.to_v.*"),
    KeyRule::new("**.attentions.*.proj_attn.*", "**.attentions.*.to_out.0.*"),
];

/// A CLIP text model without its wrapper, as transformers saves it from version 5.
const BARE_CLIP_TEXT: &[KeyRule] = &[
    KeyRule::new("embeddings.**", "text_model.embeddings.**"),
    KeyRule::new("encoder.**", "text_model.encoder.**"),
    KeyRule::new("final_layer_norm.**", "text_model.final_layer_norm.**"),
];

/// The table of an autoencoder's file: modern attention names, or the legacy `query`, `key`, `value`, `proj_attn`.
pub fn vae(source: &dyn WeightSource) -> KeyTable {
    when_used(LEGACY_ATTENTION, source)
}

/// The table of a CLIP text encoder's file, with or without the `text_model.` wrapper; module paths have it. The buffer
/// `position_ids` of old files is left out.
pub fn clip_text(source: &dyn WeightSource) -> KeyTable {
    KeyTable::default().ignore("**.embeddings.position_ids").then(when_used(BARE_CLIP_TEXT, source))
}

/// These rules when some name of the source matches one, else none: with them, the way back would be wrong.
fn when_used(rules: &[KeyRule], source: &dyn WeightSource) -> KeyTable {
    let table = KeyTable::new(rules.iter().cloned());
    let changes = |key: &String| table.to_module(key).as_ref() != Some(key);
    if source.names().iter().any(changes) { table } else { KeyTable::default() }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::checkpoint::MemorySource;

    fn source(keys: &[String]) -> MemorySource {
        let mut source = MemorySource::new("memory");
        for key in keys {
            source.insert(key, TensorData::new(vec![0f32], [1])).unwrap();
        }
        source
    }

    fn vae_keys(names: [&str; 4]) -> Vec<String> {
        let mut keys = Vec::new();
        for half in ["encoder", "decoder"] {
            for end in ["weight", "bias"] {
                keys.push(format!("{half}.conv_in.{end}"));
                keys.push(format!("{half}.mid_block.attentions.0.group_norm.{end}"));
                keys.push(format!("{half}.mid_block.resnets.1.conv2.{end}"));
                keys.extend(
                    names.iter().map(|name| format!("{half}.mid_block.attentions.0.{name}.{end}")),
                );
            }
        }
        keys
    }

    fn clip_keys(prefix: &str) -> Vec<String> {
        let mut keys = vec![
            format!("{prefix}embeddings.token_embedding.weight"),
            format!("{prefix}embeddings.position_embedding.weight"),
            format!("{prefix}final_layer_norm.bias"),
            "text_projection.weight".into(),
        ];
        for layer in 0..12 {
            for name in ["self_attn.q_proj", "self_attn.out_proj", "layer_norm1", "mlp.fc2"] {
                keys.push(format!("{prefix}encoder.layers.{layer}.{name}.weight"));
            }
        }
        keys
    }

    /// The paths that a table gives to keys, sorted; also checks that it is a bijection on them.
    fn paths(table: &KeyTable, keys: &[String]) -> Vec<String> {
        table.check_bijective(keys.iter().map(String::as_str)).unwrap();
        let mut paths: Vec<String> = keys.iter().filter_map(|key| table.to_module(key)).collect();
        paths.sort();
        paths
    }

    #[test]
    fn both_generations_of_autoencoders_have_the_same_paths() {
        let old = vae_keys(["query", "key", "value", "proj_attn"]);
        let new = vae_keys(["to_q", "to_k", "to_v", "to_out.0"]);
        let mut expected = new.clone();
        expected.sort();
        assert_eq!(paths(&vae(&source(&old)), &old), expected);
        assert_eq!(paths(&vae(&source(&new)), &new), expected);
    }

    #[test]
    fn the_wrapper_of_clip_is_optional() {
        let wrapped = clip_keys("text_model.");
        let mut bare = clip_keys("");
        let mut expected = wrapped.clone();
        expected.sort();
        assert_eq!(paths(&clip_text(&source(&wrapped)), &wrapped), expected);
        bare.push("embeddings.position_ids".into());
        assert_eq!(paths(&clip_text(&source(&bare)), &bare), expected);
    }

    #[test]
    fn position_ids_are_ignored_wherever_they_stand() {
        let keys = [
            "text_model.embeddings.position_ids".to_owned(),
            "text_model.final_layer_norm.bias".to_owned(),
        ];
        assert_eq!(paths(&clip_text(&source(&keys)), &keys), ["text_model.final_layer_norm.bias"]);
    }
}
