//! Tensors of tiny models, bit for bit.

use super::*;

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
