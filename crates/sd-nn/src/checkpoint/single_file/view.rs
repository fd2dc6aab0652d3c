//! The way back: components of diffusers, seen as one file under the names of LDM or SGM.

use std::collections::HashMap;

use burn::tensor::{DType, TensorData};

use super::{
    super::{
        CheckpointError, KeyTable, Renamed, TensorInfo, WeightSource, nearest::nearest, tables,
    },
    ModelFamily,
    component::check_length,
    others::{THIRDS, open_clip_table, vae_table},
    piece::transposed,
    unet::UNetStructure,
};

/// The components of a model as one source under the names of LDM (1.x, 2.x) or SGM (XL).
///
/// It is what [`SingleFile`](super::SingleFile) undoes. The last layer of OpenCLIP's H, which the files of 2.x have and no
/// directory does, does not come back.
pub struct SingleFileView {
    components: Vec<Renamed<Box<dyn WeightSource>>>,
    keys: Vec<String>,
    made: HashMap<String, Made>,
}

/// A tensor of a component.
#[derive(Debug, Clone)]
struct Place {
    component: usize,
    name: String,
}

/// What a tensor of the file is made of.
#[derive(Debug, Clone)]
enum Made {
    Whole(Place),
    /// A linear layer as a convolution of one element.
    Unsqueezed(Place),
    Transposed(Place),
    /// Query, key and value.
    Joined(Vec<Place>),
}

impl std::fmt::Debug for SingleFileView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleFileView").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl SingleFileView {
    /// The components of a model of this family, by their names: `unet`, `vae`, `text_encoder`, `text_encoder_2`.
    ///
    /// # Errors
    /// [`CheckpointError::InvalidName`] for a component of another name, [`CheckpointError::KeyCollision`] when two tensors
    /// get one name, [`CheckpointError::NotAPart`] for a projection that is no matrix, [`CheckpointError::NoSuchTensor`] when a text encoder lacks one of query, key and value.
    pub fn new(
        family: ModelFamily,
        components: Vec<(String, Box<dyn WeightSource>)>,
    ) -> Result<Self, CheckpointError> {
        let mut view = Self { components: Vec::new(), keys: Vec::new(), made: HashMap::new() };
        for (name, source) in components {
            view.add(family, &name, source)?;
        }
        Ok(view)
    }

    fn add(
        &mut self,
        family: ModelFamily,
        name: &str,
        source: Box<dyn WeightSource>,
    ) -> Result<(), CheckpointError> {
        let own_names = match name {
            "vae" => tables::vae(&source),
            "text_encoder" | "text_encoder_2" => tables::clip_text(&source),
            _ => KeyTable::default(),
        };
        let source = Renamed::new(source, &own_names)?;
        let names = source.names();
        let component = self.components.len();
        self.components.push(source);
        let Some((prefix, table)) = layout(family, name, &names) else {
            return Err(CheckpointError::InvalidName { name: name.into() });
        };
        let open_clip = prefix.ends_with(".model.");
        for name in names {
            let place = Place { component, name: name.clone() };
            if open_clip && let Some((joined, query)) = joined(&name) {
                let place = Place { component, name: query };
                if place.name == name {
                    self.join(format!("{prefix}{}", table.to_file(&joined)), &place)?;
                } else if self.info_of(&place).is_none() {
                    return Err(self.lacking(&place));
                }
                continue;
            }
            let key = format!("{prefix}{}", table.to_file(&name));
            let shape = self.info_of(&place).map(|info| info.shape).unwrap_or_default();
            let made = if open_clip && name == "text_projection.weight" {
                if shape.len() != 2 {
                    let origin = self.components[component].origin();
                    return Err(CheckpointError::NotAPart {
                        origin,
                        key: name,
                        found: shape,
                        path: key,
                    });
                }
                Made::Transposed(place)
            } else if is_projection_of_vae(&name, prefix) && shape.len() == 2 {
                Made::Unsqueezed(place)
            } else {
                Made::Whole(place)
            };
            self.insert(key, made)?;
        }
        Ok(())
    }

    /// Query, key and value as one; `query` is the first of them.
    fn join(&mut self, key: String, query: &Place) -> Result<(), CheckpointError> {
        let mut places = Vec::new();
        for third in THIRDS {
            let name = query.name.replace(&format!(".{}.", THIRDS[0]), &format!(".{third}."));
            let place = Place { component: query.component, name };
            if self.info_of(&place).is_none() {
                return Err(self.lacking(&place));
            }
            places.push(place);
        }
        self.insert(key, Made::Joined(places))
    }

    fn lacking(&self, place: &Place) -> CheckpointError {
        let origin = self.components.get(place.component).map(WeightSource::origin);
        CheckpointError::NoSuchTensor {
            origin: origin.unwrap_or_default(),
            name: place.name.clone(),
            nearest: None,
        }
    }

    fn insert(&mut self, key: String, made: Made) -> Result<(), CheckpointError> {
        let second = made.first().name.clone();
        if let Some(first) = self.made.insert(key.clone(), made) {
            let first = first.first().name.clone();
            return Err(CheckpointError::KeyCollision {
                origin: self.origin(),
                path: key,
                first,
                second,
            });
        }
        self.keys.push(key);
        Ok(())
    }

    fn info_of(&self, place: &Place) -> Option<TensorInfo> {
        self.components.get(place.component)?.info(&place.name)
    }

    fn read_of(&self, place: &Place, dtype: DType) -> Result<TensorData, CheckpointError> {
        match self.components.get(place.component) {
            Some(source) => {
                let data = source.read(&place.name, dtype)?;
                check_length(source, &place.name, &data)?;
                Ok(data)
            }
            None => Err(self.none(&place.name)),
        }
    }

    fn none(&self, name: &str) -> CheckpointError {
        CheckpointError::NoSuchTensor {
            origin: self.origin(),
            name: name.into(),
            nearest: nearest(name, self.keys.iter().map(String::as_str)).map(Into::into),
        }
    }
}

impl Made {
    fn first(&self) -> &Place {
        match self {
            Self::Whole(place) | Self::Unsqueezed(place) | Self::Transposed(place) => place,
            Self::Joined(places) => &places[0],
        }
    }

    fn shape(&self, first: &[usize]) -> Vec<usize> {
        match (self, first) {
            (Self::Unsqueezed(_), &[out, channels]) => vec![out, channels, 1, 1],
            (Self::Transposed(_), &[rows, columns]) => vec![columns, rows],
            (Self::Joined(places), [rows, rest @ ..]) => [&[rows * places.len()], rest].concat(),
            (_, shape) => shape.to_vec(),
        }
    }
}

impl WeightSource for SingleFileView {
    fn origin(&self) -> String {
        self.components.first().map(WeightSource::origin).unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        let made = self.made.get(name)?;
        let info = self.info_of(made.first())?;
        Some(TensorInfo { dtype: info.dtype, shape: made.shape(&info.shape) })
    }

    fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
        let (Some(made), Some(info)) = (self.made.get(name), self.info(name)) else {
            return Err(self.none(name));
        };
        let mut data = self.read_of(made.first(), dtype)?;
        match made {
            Made::Transposed(_) => {
                let bytes = transposed(&data.bytes, &info.shape, data.dtype.size());
                return Ok(TensorData::from_bytes_vec(bytes, info.shape, data.dtype));
            }
            Made::Joined(places) => {
                let mut bytes = data.bytes.to_vec();
                for place in &places[1..] {
                    bytes.extend_from_slice(&self.read_of(place, dtype)?.bytes);
                }
                return Ok(TensorData::from_bytes_vec(bytes, info.shape, data.dtype));
            }
            _ => {}
        }
        data.shape = info.shape.into();
        Ok(data)
    }
}

/// Where a component's tensors lie in a single file, and under which names.
fn layout(
    family: ModelFamily,
    component: &str,
    names: &[String],
) -> Option<(&'static str, KeyTable)> {
    let names = || names.iter().map(String::as_str);
    Some(match component {
        "unet" => ("model.diffusion_model.", UNetStructure::from_diffusers(names()).table()),
        "vae" => {
            let levels = (0..64).take_while(|level| {
                names().any(|name| name.starts_with(&format!("decoder.up_blocks.{level}.")))
            });
            ("first_stage_model.", vae_table(levels.count()))
        }
        "text_encoder" | "text_encoder_2" if family == ModelFamily::XlRefiner => {
            ("conditioner.embedders.0.model.", open_clip_table())
        }
        "text_encoder" if family.is_xl() => {
            ("conditioner.embedders.0.transformer.", KeyTable::default())
        }
        "text_encoder_2" if family.is_xl() => ("conditioner.embedders.1.model.", open_clip_table()),
        "text_encoder" if family.is_sd2() => ("cond_stage_model.model.", open_clip_table()),
        "text_encoder" => ("cond_stage_model.transformer.", KeyTable::default()),
        _ => return None,
    })
}

/// The names of the joint tensor of query, key and value, and of the query.
fn joined(name: &str) -> Option<(String, String)> {
    THIRDS.iter().find_map(|third| {
        let (before, end) = name.split_once(&format!(".self_attn.{third}."))?;
        let named = |part: &str| format!("{before}.self_attn.{part}.{end}");
        Some((named("in_proj"), named(THIRDS[0])))
    })
}

fn is_projection_of_vae(name: &str, prefix: &str) -> bool {
    prefix == "first_stage_model."
        && name.contains(".attentions.")
        && name.ends_with(".weight")
        && !name.contains(".group_norm.")
}
