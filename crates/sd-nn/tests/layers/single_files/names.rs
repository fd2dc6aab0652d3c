//! Names of full-size models, both ways.

use super::*;

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
