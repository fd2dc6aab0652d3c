//! Whole models in one file, against diffusers' own conversion of the same names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    sync::Arc,
};

use burn::tensor::{DType, TensorData};
use flate2::read::GzDecoder;
use sd_nn::checkpoint::{
    CheckpointError, FileContents, FileDtype, MemorySource, ModelFamily, Prediction,
    SafetensorsFile, SingleFile, SingleFileOptions, SingleFileView, TensorInfo, WeightSource, open,
    open_weights, tensors_of,
};
use serde_json::Value;

use crate::case::fixture;

/// Names and shapes without values.
struct Shapes(BTreeMap<String, Vec<usize>>);

impl WeightSource for Shapes {
    fn origin(&self) -> String {
        "shapes".into()
    }
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn info(&self, name: &str) -> Option<TensorInfo> {
        Some(TensorInfo { dtype: FileDtype::F16, shape: self.0.get(name)?.clone() })
    }
    fn read(&self, name: &str, _: DType) -> Result<TensorData, CheckpointError> {
        panic!("{name} was read")
    }
}

/// A model of full size: its family's name, configurations, and rows `[file name, part, diffusers name, file's shape]`.
struct Listed {
    family: String,
    configs: Value,
    rows: Value,
}

fn listed() -> Vec<Listed> {
    let file = GzDecoder::new(File::open(fixture("single/keys.jsonl.gz")).unwrap());
    let lines = BufReader::new(file).lines();
    lines
        .map(|line| {
            let mut line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            Listed {
                family: line["family"].as_str().unwrap().into(),
                configs: line["configs"].take(),
                rows: line["rows"].take(),
            }
        })
        .collect()
}

impl Listed {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let rows =
            self.rows.as_object().unwrap().values().flat_map(|rows| rows.as_array().unwrap());
        rows.map(|row| {
            let shape =
                row[3].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize);
            (row[0].as_str().unwrap().to_owned(), shape.collect())
        })
        .collect()
    }
}

fn single(shapes: BTreeMap<String, Vec<usize>>, options: &SingleFileOptions) -> SingleFile {
    SingleFile::new(Arc::new(Shapes(shapes)), &BTreeMap::new(), options).unwrap()
}

#[test]
fn every_name_of_every_family_is_that_of_diffusers_and_comes_back() {
    for model in listed() {
        let file = single(model.shapes(), &SingleFileOptions::default());
        assert!(file.unused().is_empty(), "{}: {:?}", model.family, file.unused());
        let names: BTreeSet<&str> =
            file.components().iter().map(|component| component.name()).collect();
        let wanted: BTreeSet<&str> =
            model.rows.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, wanted, "{}", model.family);
        for component in file.components() {
            let mut found: Vec<(String, String)> = component
                .names()
                .into_iter()
                .map(|name| (component.key(&name).unwrap().to_owned(), name))
                .collect();
            let rows = model.rows[component.name()].as_array().unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let mut wanted: Vec<(String, String)> =
                rows.iter().map(|row| (text(&row[0]), text(&row[2]))).collect();
            found.sort();
            wanted.sort();
            assert!(found == wanted, "{} {}", model.family, component.name());
            // A name of its own for each.
            let distinct: BTreeSet<&String> = found.iter().map(|(_, name)| name).collect();
            assert_eq!(distinct.len(), found.len());
        }
    }
}

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
                let all =
                    found.as_array().is_some_and(|list| list.iter().all(|value| value == wanted));
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

#[test]
fn averaged_weights_are_a_choice() {
    let mut shapes = listed().remove(0).shapes();
    let averaged: Vec<_> = shapes
        .iter()
        .filter_map(|(name, shape)| {
            Some((name.strip_prefix("model.")?.replace('.', ""), shape.clone()))
        })
        .map(|(name, shape)| (format!("model_ema.{name}"), shape))
        .collect();
    shapes.extend(averaged);
    shapes.insert("model_ema.decay".into(), vec![]);
    for (ema, key) in [
        (false, "model.diffusion_model.out.2.weight"),
        (true, "model_ema.diffusion_modelout2weight"),
    ] {
        let file = single(shapes.clone(), &SingleFileOptions::default().ema(ema));
        assert!(file.has_ema() && file.unused().is_empty());
        assert_eq!(file.component("unet").unwrap().key("conv_out.weight"), Some(key));
    }
}

/// What was not trained has no average.
#[test]
fn weights_without_an_average_are_the_plain_ones() {
    let mut shapes = listed().remove(0).shapes();
    let plain = single(shapes.clone(), &SingleFileOptions::default());
    let wanted = plain.component("unet").unwrap().names();
    shapes.insert("model_ema.diffusion_modelout2weight".into(), vec![4, 320, 3, 3]);
    let file = single(shapes, &SingleFileOptions::default().ema(true));
    let unet = file.component("unet").unwrap();
    assert_eq!(unet.names(), wanted);
    assert!(wanted.iter().all(|name| unet.info(name).is_some()));
    assert_eq!(unet.key("conv_out.weight"), Some("model_ema.diffusion_modelout2weight"));
    assert_eq!(unet.key("conv_out.bias"), Some("model.diffusion_model.out.2.bias"));
    assert_eq!(tensors_of(unet).unwrap().len(), wanted.len());
}

/// Names of which it knows nothing.
struct Forgetful;

impl WeightSource for Forgetful {
    fn origin(&self) -> String {
        "memory".into()
    }
    fn names(&self) -> Vec<String> {
        vec!["weight".into()]
    }
    fn info(&self, _: &str) -> Option<TensorInfo> {
        None
    }
    fn read(&self, name: &str, _: DType) -> Result<TensorData, CheckpointError> {
        panic!("{name} was read")
    }
}

#[test]
fn tensors_of_which_nothing_is_known_are_not_left_out() {
    let error = tensors_of(&Forgetful).unwrap_err();
    assert!(matches!(error, CheckpointError::NoSuchTensor { name, .. } if name == "weight"));
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

#[test]
fn an_autoencoder_has_no_scheduler_whatever_the_family() {
    let mut shapes = listed().remove(0).shapes();
    shapes.retain(|name, _| name.starts_with("first_stage_model."));
    let file = single(shapes, &SingleFileOptions::default().family(ModelFamily::Sd1));
    assert_eq!(file.family(), Some(ModelFamily::Sd1));
    assert!(file.scheduler_config().is_none() && file.model_index().is_none());
}

#[test]
fn one_of_query_key_and_value_alone_is_refused() {
    for lacking in ["q_proj", "k_proj", "v_proj"] {
        let mut source = MemorySource::new("memory");
        for third in ["q_proj", "k_proj", "v_proj"].into_iter().filter(|third| *third != lacking) {
            let name = format!("text_model.encoder.layers.0.self_attn.{third}.bias");
            source.insert(name, TensorData::new(vec![0f32; 2], [2])).unwrap();
        }
        let components =
            vec![("text_encoder".to_owned(), Box::new(source) as Box<dyn WeightSource>)];
        let error = SingleFileView::new(ModelFamily::Sd2, components).unwrap_err();
        let wanted = format!("text_model.encoder.layers.0.self_attn.{lacking}.bias");
        assert!(
            matches!(&error, CheckpointError::NoSuchTensor { name, .. } if *name == wanted),
            "{lacking}: {error}"
        );
    }
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

/// Every tensor of a component is that of the other source, bit for bit.
fn assert_same(file: &SingleFile, component: &str, expected: &dyn WeightSource) {
    let found = file.component(component).unwrap();
    let wrapped = |name: &String| match ["embeddings.", "encoder.layers.", "final_layer_norm."] {
        heads
            if component.starts_with("text") && heads.iter().any(|head| name.starts_with(head)) =>
        {
            format!("text_model.{name}")
        }
        _ => name.clone(),
    };
    let mut wanted: Vec<(String, String)> =
        expected.names().into_iter().map(|name| (wrapped(&name), name)).collect();
    wanted.sort();
    let mut names = found.names();
    names.sort();
    assert_eq!(names, wanted.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    for (name, other) in wanted {
        let (found, expected) =
            (found.read(&name, DType::F16).unwrap(), expected.read(&other, DType::F16).unwrap());
        assert_eq!(found.shape, expected.shape, "{component} {name}");
        assert!(found.bytes == expected.bytes, "{component} {name}");
    }
}

#[test]
fn tiny_models_have_the_weights_of_their_directories() {
    for (file, directory) in [("tiny-sd1.ckpt", "tiny-sd1"), ("tiny-sd2.safetensors", "tiny-sd2")] {
        let file =
            SingleFile::open(fixture("single").join(file), &SingleFileOptions::default()).unwrap();
        assert!(file.unused().is_empty(), "{:?}", file.unused());
        for component in ["unet", "vae", "text_encoder"] {
            let expected = open_weights(fixture(directory).join(component), None).unwrap();
            assert_same(&file, component, &expected);
        }
    }
    let file =
        SingleFile::open(fixture("single/tiny-xl.safetensors"), &SingleFileOptions::default())
            .unwrap();
    assert_eq!(file.family(), Some(ModelFamily::XlBase));
    for component in ["unet", "vae", "text_encoder", "text_encoder_2"] {
        let path = fixture("single/tiny-xl").join(component).with_extension("safetensors");
        assert_same(&file, component, &SafetensorsFile::open(path).unwrap());
    }
}

/// Components as they were found, put together again, are the file.
#[test]
fn the_way_back_gives_the_file() {
    for name in ["tiny-sd1.ckpt", "tiny-sd2.safetensors", "tiny-xl.safetensors"] {
        let path = fixture("single").join(name);
        let original = open(&path).unwrap();
        let file = SingleFile::open(&path, &SingleFileOptions::default()).unwrap();
        let components = file.components().iter().map(|component| {
            (component.name().to_owned(), Box::new(component.clone()) as Box<dyn WeightSource>)
        });
        let view = SingleFileView::new(file.family().unwrap(), components.collect()).unwrap();
        let mut lacking: BTreeSet<String> = original.names().into_iter().collect();
        for key in view.names() {
            assert!(lacking.remove(&key), "{key}");
            assert_eq!(view.info(&key), original.info(&key), "{key}");
            let (found, expected) =
                (view.read(&key, DType::F16).unwrap(), original.read(&key, DType::F16).unwrap());
            assert!(found.bytes == expected.bytes && found.shape == expected.shape, "{key}");
        }
        let buffers = ["betas", "alphas_cumprod"];
        lacking.retain(|key| !buffers.contains(&key.as_str()));
        let ends = [".position_ids", ".logit_scale"];
        assert!(lacking.iter().all(|key| ends.iter().any(|end| key.ends_with(end))), "{lacking:?}");
    }
}

/// At full size too, by names and shapes.
#[test]
fn the_way_back_gives_every_name_of_every_family() {
    for model in listed() {
        let shapes = model.shapes();
        let file = single(shapes.clone(), &SingleFileOptions::default());
        let components = file.components().iter().map(|component| {
            (component.name().to_owned(), Box::new(component.clone()) as Box<dyn WeightSource>)
        });
        let view = SingleFileView::new(file.family().unwrap(), components.collect()).unwrap();
        let back: BTreeMap<String, Vec<usize>> = view
            .names()
            .into_iter()
            .map(|key| (key.clone(), view.info(&key).unwrap().shape))
            .collect();
        assert!(back == shapes, "{}", model.family);
    }
}

#[test]
fn tensors_that_are_not_what_their_names_say_are_refused() {
    let mut source = MemorySource::new("memory");
    for name in [
        "first_stage_model.decoder.conv_in.weight",
        "first_stage_model.decoder.mid.block_1.conv1.weight",
    ] {
        source.insert(name, TensorData::new(vec![0f32; 2], [1, 2])).unwrap();
    }
    let name = "first_stage_model.decoder.mid.attn_1.q.weight";
    source.insert(name, TensorData::new(vec![0f32; 4], [1, 1, 2, 2])).unwrap();
    let error = SingleFile::new(Arc::new(source), &BTreeMap::new(), &SingleFileOptions::default())
        .unwrap_err();
    assert!(
        matches!(&error, CheckpointError::NotAPart { key, found, .. } if key == name && *found == [1, 1, 2, 2]),
        "{error}"
    );
}
