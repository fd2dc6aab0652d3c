//! The autoencoder and the text encoders of LDM and SGM.

use super::super::{KeyRule, KeyTable};

/// The key table of an autoencoder of so many levels, whose decoder counts them from the other end.
pub(super) fn vae_table(levels: usize) -> KeyTable {
    let mut rules = VAE.to_vec();
    for (at, level) in (0..levels).rev().enumerate() {
        let (file, module) = (format!("decoder.up.{level}"), format!("decoder.up_blocks.{at}"));
        rules.push(KeyRule::both(format!("{file}.block.**"), format!("{module}.resnets.**")));
        let (file, module) =
            (format!("{file}.upsample.conv.*"), format!("{module}.upsamplers.0.conv.*"));
        rules.push(KeyRule::both(file, module));
    }
    let shortcut = KeyRule::new("**.resnets.*.nin_shortcut.*", "**.resnets.*.conv_shortcut.*");
    KeyTable::new(rules).then(KeyTable::new([shortcut]))
}

const VAE: &[KeyRule] = &[
    KeyRule::new("encoder.down.*.block.**", "encoder.down_blocks.*.resnets.**"),
    KeyRule::new("encoder.down.*.downsample.conv.*", "encoder.down_blocks.*.downsamplers.0.conv.*"),
    KeyRule::new("*.mid.block_1.**", "*.mid_block.resnets.0.**"),
    KeyRule::new("*.mid.block_2.**", "*.mid_block.resnets.1.**"),
    KeyRule::new("*.mid.attn_1.norm.*", "*.mid_block.attentions.0.group_norm.*"),
    KeyRule::new("*.mid.attn_1.q.*", "*.mid_block.attentions.0.to_q.*"),
    KeyRule::new("*.mid.attn_1.k.*", "*.mid_block.attentions.0.to_k.*"),
    KeyRule::new("*.mid.attn_1.v.*", "*.mid_block.attentions.0.to_v.*"),
    KeyRule::new("*.mid.attn_1.proj_out.*", "*.mid_block.attentions.0.to_out.0.*"),
    KeyRule::new("*.norm_out.*", "*.conv_norm_out.*"),
];

/// The key table of a text encoder under the names of OpenCLIP. Query, key and value are one tensor there, and stay one here,
/// `self_attn.in_proj`; [`THIRDS`] tells its parts.
pub(super) fn open_clip_table() -> KeyTable {
    KeyTable::new(OPEN_CLIP.iter().cloned())
}

/// The parts of `self_attn.in_proj`, in their order.
pub(super) const THIRDS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

const OPEN_CLIP: &[KeyRule] = &[
    KeyRule::new("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    KeyRule::new("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    KeyRule::new("ln_final.*", "text_model.final_layer_norm.*"),
    KeyRule::new("text_projection", "text_projection.weight"),
    KeyRule::new("transformer.resblocks.*.ln_1.*", "text_model.encoder.layers.*.layer_norm1.*"),
    KeyRule::new("transformer.resblocks.*.ln_2.*", "text_model.encoder.layers.*.layer_norm2.*"),
    KeyRule::new("transformer.resblocks.*.mlp.c_fc.*", "text_model.encoder.layers.*.mlp.fc1.*"),
    KeyRule::new("transformer.resblocks.*.mlp.c_proj.*", "text_model.encoder.layers.*.mlp.fc2.*"),
    KeyRule::new(
        "transformer.resblocks.*.attn.out_proj.*",
        "text_model.encoder.layers.*.self_attn.out_proj.*",
    ),
    KeyRule::new(
        "transformer.resblocks.*.attn.in_proj_weight",
        "text_model.encoder.layers.*.self_attn.in_proj.weight",
    ),
    KeyRule::new(
        "transformer.resblocks.*.attn.in_proj_bias",
        "text_model.encoder.layers.*.self_attn.in_proj.bias",
    ),
];
