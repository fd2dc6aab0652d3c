//! What of a U-Net's structure its names and shapes tell.

use super::*;

/// The U-Net of a model with other names and shapes than the published ones.
fn changed(
    family: &str,
    change: impl Fn(&mut BTreeMap<String, Vec<usize>>),
) -> Result<SingleFile, CheckpointError> {
    let mut shapes = listed().into_iter().find(|model| model.family == family).unwrap().shapes();
    change(&mut shapes);
    let options = SingleFileOptions::default();
    SingleFile::new(Arc::new(Shapes(shapes)), &BTreeMap::new(), &options)
}

#[test]
fn the_embedding_of_the_guidance_is_a_weight_as_well() {
    let file = changed("sd15", |shapes| {
        let name = "model.diffusion_model.time_embed.cond_proj.weight";
        shapes.insert(name.into(), vec![320, 256]);
    })
    .unwrap();
    let unet = file.component("unet").unwrap();
    assert_eq!(unet.info("time_embedding.cond_proj.weight").unwrap().shape, [320, 256]);
    assert_eq!(unet.config()["time_cond_proj_dim"], 256);
}

#[test]
fn names_without_a_rule_are_refused() {
    for key in [
        "model.diffusion_model.time_embed.7.weight",
        "model.diffusion_model.input_blocks.1.0.in_layers.1.weight",
        "model.diffusion_model.input_blocks.1.7.weight",
        "first_stage_model.encoder.down.0.attn.0.q.weight",
        "first_stage_model.decoder.mid.block_3.conv1.weight",
    ] {
        let error =
            changed("sd15", |shapes| _ = shapes.insert(key.into(), vec![4, 4])).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::NoPlace { key: found, .. } if found == key),
            "{key}: {error}"
        );
    }
}

#[test]
fn middles_without_attention_are_told() {
    let middle = |keep: &'static [&str]| {
        changed("xl-base", move |shapes| {
            let prefix = "model.diffusion_model.middle_block.";
            shapes.retain(|name, _| {
                name.strip_prefix(prefix)
                    .is_none_or(|rest| keep.iter().any(|block| rest.starts_with(block)))
            });
        })
    };
    let kind = |keep| {
        let file = middle(keep).unwrap();
        file.component("unet").unwrap().config().get("mid_block_type").cloned()
    };
    assert_eq!(kind(&["0.", "1.", "2."]), None);
    assert_eq!(kind(&["0."]), Some("UNetMidBlock2D".into()));
    assert_eq!(kind(&[]), Some(Value::Null));
    let error = middle(&["0.", "1."]).unwrap_err().to_string();
    assert!(error.ends_with("in which mid_block has 1 residual blocks"), "{error}");
}

/// Models that were made smaller by leaving out layers here and there.
#[test]
fn levels_that_no_configuration_describes_are_refused() {
    let without = |start: &'static str| {
        let error = changed("xl-base", move |shapes| {
            shapes.retain(|name, _| !name.starts_with(&format!("model.diffusion_model.{start}")));
        });
        match error.unwrap_err() {
            CheckpointError::UnknownStructure { found, .. } => found,
            other => panic!("{other}"),
        }
    };
    let found = without("output_blocks.0.1.transformer_blocks.9.");
    assert!(found.ends_with("up_blocks.0.attentions.0 has 9"), "{found}");
    let found = without("input_blocks.4.1.");
    assert_eq!(found, "some layers of down_blocks.1 have no attention");
}
