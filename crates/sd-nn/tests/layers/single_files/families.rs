//! Which model a file is of, and what it predicts.

use super::*;

/// stable-diffusion.cpp writes text encoders under transformers' names, but the projection as OpenCLIP has it.
#[test]
fn text_encoders_under_the_names_of_stable_diffusion_cpp_are_found() {
    for (family, prefixes) in [
        ("sd21", &[("text_encoder", "cond_stage_model.transformer.")][..]),
        (
            "xl-base",
            &[
                ("text_encoder", "cond_stage_model.transformer."),
                ("text_encoder_2", "cond_stage_model.1.transformer."),
            ],
        ),
    ] {
        let model = listed().into_iter().find(|model| model.family == family).unwrap();
        let plain = single(model.shapes(), &SingleFileOptions::default());
        let mut shapes = model.shapes();
        shapes.retain(|name, _| !name.starts_with("cond"));
        for (component, prefix) in prefixes {
            let component = plain.component(component).unwrap();
            shapes.extend(component.names().into_iter().map(|name| {
                let shape = component.info(&name).unwrap().shape;
                let name = name.replace("text_projection.weight", "text_model.text_projection");
                (format!("{prefix}{name}"), shape)
            }));
        }
        // The layer that no one uses.
        if family == "sd21" {
            let name = "cond_stage_model.transformer.text_model.encoder.layers.23.mlp.fc1.bias";
            shapes.insert(name.into(), vec![4096]);
        }
        let file = single(shapes, &SingleFileOptions::default());
        assert_eq!(file.family(), plain.family());
        assert!(file.unused().is_empty(), "{:?}", file.unused());
        for (component, _) in prefixes {
            let (found, wanted) =
                (file.component(component).unwrap(), plain.component(component).unwrap());
            assert_eq!(found.config(), wanted.config(), "{family} {component}");
            let sorted = |component: &dyn WeightSource| {
                let mut names = component.names();
                names.sort();
                names
            };
            assert_eq!(sorted(found), sorted(wanted), "{family} {component}");
        }
    }
}

#[test]
fn configurations_are_those_of_the_published_models() {
    for model in listed() {
        let file = single(model.shapes(), &SingleFileOptions::default());
        for component in file.components() {
            for (key, wanted) in model.configs[component.name()].as_object().unwrap() {
                let found = &component.config()[key];
                // One number for all levels, or a list of that number, is the same; sizes are advice for a VAE.
                let all = found.as_array().is_some_and(|list| {
                    !list.is_empty() && list.iter().all(|value| value == wanted)
                });
                let advice = component.name() == "vae"
                    && ["sample_size", "force_upcast"].contains(&key.as_str());
                assert!(
                    found == wanted || all || advice,
                    "{} {} {key}: {found}, expected {wanted}",
                    model.family,
                    component.name()
                );
            }
        }
    }
}

#[test]
fn families_are_told_by_names_and_shapes() {
    let models: BTreeMap<String, _> =
        listed().into_iter().map(|model| (model.family.clone(), model.shapes())).collect();
    let conv_in = "model.diffusion_model.input_blocks.0.0.weight";
    for (family, channels, wanted, prediction) in [
        ("sd15", 4, ModelFamily::Sd1, Prediction::Noise),
        ("sd15", 9, ModelFamily::Sd1Inpainting, Prediction::Noise),
        ("sd15", 8, ModelFamily::Sd1InstructPix2Pix, Prediction::Noise),
        ("sd21", 4, ModelFamily::Sd2, Prediction::Velocity),
        ("sd21", 9, ModelFamily::Sd2Inpainting, Prediction::Noise),
        ("sd21", 5, ModelFamily::Sd2Depth, Prediction::Noise),
        ("x4-upscaler", 7, ModelFamily::Sd2Upscaler, Prediction::Velocity),
        ("xl-base", 4, ModelFamily::XlBase, Prediction::Noise),
        ("xl-base", 9, ModelFamily::XlInpainting, Prediction::Noise),
        ("xl-refiner", 4, ModelFamily::XlRefiner, Prediction::Noise),
    ] {
        let mut shapes = models[family].clone();
        shapes.get_mut(conv_in).unwrap()[1] = channels;
        let file = single(shapes.clone(), &SingleFileOptions::default());
        assert_eq!(file.contents(), FileContents::Model(wanted));
        assert_eq!((file.family(), file.prediction()), (Some(wanted), prediction), "{wanted}");
        assert_eq!(file.component("unet").unwrap().config()["in_channels"], channels);
        // The U-Net alone, as GGUF files of ComfyUI have it.
        let alone: BTreeMap<_, _> = shapes
            .into_iter()
            .filter_map(|(name, shape)| {
                Some((name.strip_prefix("model.diffusion_model.")?.to_owned(), shape))
            })
            .collect();
        let file = single(alone, &SingleFileOptions::default());
        assert_eq!(file.contents(), FileContents::UNet(wanted), "{wanted}");
        assert_eq!(file.components().len(), 1);
    }
}

#[test]
fn what_predicts_what_is_told_assumed_or_said() {
    let models = listed();
    let shapes =
        |family: &str| models.iter().find(|model| model.family == family).unwrap().shapes();
    let with = |family: &str, metadata: &[(&str, &str)], options: &SingleFileOptions| {
        let metadata =
            metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        SingleFile::new(Arc::new(Shapes(shapes(family))), &metadata, options).unwrap()
    };
    let plain = SingleFileOptions::default();
    let base = with("sd21", &[("global_step", "875000")], &plain);
    assert_eq!(base.prediction(), Prediction::Noise);
    assert_eq!(base.component("unet").unwrap().config()["sample_size"], 64);
    assert_eq!(base.scheduler_config().unwrap()["_class_name"], "PNDMScheduler");
    let large = with("sd21", &[("global_step", "110000")], &plain);
    assert_eq!(large.scheduler_config().unwrap()["prediction_type"], "v_prediction");
    assert_eq!(large.component("unet").unwrap().config()["upcast_attention"], true);
    let said = with("xl-base", &[("modelspec.prediction_type", "v")], &plain);
    assert_eq!(said.prediction(), Prediction::Velocity);
    let over = plain.clone().prediction(Prediction::Noise).family(ModelFamily::XlInpainting);
    let over = with(
        "xl-base",
        &[("modelspec.prediction_type", "v")],
        &over.config("vae", "norm_num_groups", 2.into()),
    );
    assert_eq!(
        (over.prediction(), over.family()),
        (Prediction::Noise, Some(ModelFamily::XlInpainting))
    );
    assert_eq!(over.component("vae").unwrap().config()["norm_num_groups"], 2);

    let mut marked = shapes("xl-base");
    marked.extend([("v_pred".into(), vec![]), ("ztsnr".into(), vec![])]);
    let scheduler = single(marked, &plain).scheduler_config().unwrap();
    assert_eq!(scheduler["prediction_type"], "v_prediction");
    assert_eq!(scheduler["rescale_betas_zero_snr"], true);
}

/// Other U-Nets embed a vector, too.
#[test]
fn not_every_unet_that_embeds_a_vector_is_of_xl() {
    let contents = |shapes: BTreeMap<_, _>| FileContents::of(&Shapes(shapes));
    let embeds = |family: &str| {
        let mut shapes =
            listed().into_iter().find(|model| model.family == family).unwrap().shapes();
        shapes.insert("model.diffusion_model.label_emb.0.0.weight".into(), vec![1280, 2048]);
        shapes
    };
    let other = |shapes| match contents(shapes) {
        FileContents::OtherArchitecture(name) => name,
        contents => panic!("{contents}"),
    };
    assert!(other(embeds("sd21")).contains("Stable unCLIP"));
    let mut video = embeds("sd21");
    let name = "model.diffusion_model.input_blocks.1.1.time_stack.0.norm1.weight";
    video.insert(name.into(), vec![320]);
    video.insert("conditioner.embedders.3.encoder.encoder.conv_in.weight".into(), vec![1]);
    assert_eq!(other(video), "Stable Video Diffusion");
    let mut playground = embeds("xl-base");
    assert_eq!(contents(playground.clone()), FileContents::Model(ModelFamily::XlBase));
    playground.insert("edm_mean".into(), vec![1, 4, 1, 1]);
    assert_eq!(other(playground), "Playground 2.5");
}
