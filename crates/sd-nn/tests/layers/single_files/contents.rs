//! Files that hold less than a model, or something else.

use super::*;

#[test]
fn an_autoencoder_has_no_scheduler_whatever_the_family() {
    let mut shapes = listed().remove(0).shapes();
    shapes.retain(|name, _| name.starts_with("first_stage_model."));
    let file = single(shapes, &SingleFileOptions::default().family(ModelFamily::Sd1));
    assert_eq!(file.family(), Some(ModelFamily::Sd1));
    assert!(file.scheduler_config().is_none() && file.model_index().is_none());
}

#[test]
fn files_that_are_no_models_say_what_they_are() {
    for (names, wanted) in [
        (&["lora_unet_down_blocks_0.lora_down.weight"][..], FileContents::Lora),
        (&["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], FileContents::Lora),
        (&["string_to_param.*"], FileContents::Embedding),
        (&["<cat>"], FileContents::Embedding),
        (
            &["control_model.input_blocks.0.0.weight", "control_model.zero_convs.0.0.weight"],
            FileContents::ControlNet,
        ),
        (
            &["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"],
            FileContents::ControlNet,
        ),
        (&["ip_adapter.1.to_k_ip.weight", "image_proj.proj.weight"], FileContents::IpAdapter),
        (
            &["joint_blocks.0.context_block.attn.qkv.weight", "x"],
            FileContents::OtherArchitecture("Stable Diffusion 3"),
        ),
        (
            &["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"],
            FileContents::OtherArchitecture("Flux"),
        ),
        (
            &["conv_in.bias", "conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"],
            FileContents::DiffusersComponent,
        ),
        (&["layers.0.weight", "layers.1.weight", "layers.2.weight"], FileContents::Unknown),
    ] {
        let shapes = names.iter().map(|name| ((*name).into(), vec![2, 768])).collect();
        assert_eq!(FileContents::of(&Shapes(shapes)), wanted, "{names:?}");
    }
    let shapes = BTreeMap::from([("a.lora_up.weight".to_owned(), vec![4, 4])]);
    let error =
        SingleFile::new(Arc::new(Shapes(shapes)), &BTreeMap::new(), &SingleFileOptions::default());
    assert_eq!(error.unwrap_err().to_string(), "shapes holds a LoRA, no whole model");
}

/// An autoencoder or text encoder alone.
#[test]
fn components_alone_are_found() {
    let shapes = listed().remove(0).shapes();
    let only = |prefix: &str, keep: &str| -> BTreeMap<String, Vec<usize>> {
        let names = shapes.iter().filter(|(name, _)| name.starts_with(prefix));
        names.map(|(name, shape)| (name.replacen(prefix, keep, 1), shape.clone())).collect()
    };
    for keep in ["first_stage_model.", "vae.", ""] {
        let file = single(only("first_stage_model.", keep), &SingleFileOptions::default());
        assert_eq!(file.contents(), FileContents::Vae);
        assert_eq!(file.component("vae").unwrap().names().len(), 248);
    }
    let text = only("cond_stage_model.transformer.", "");
    let file = single(text, &SingleFileOptions::default());
    assert_eq!(file.contents(), FileContents::TextEncoder);
    assert_eq!(file.component("text_encoder").unwrap().names().len(), 196);
    assert!(file.scheduler_config().is_none() && file.model_index().is_none());
}
