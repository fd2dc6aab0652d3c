//! Models and reference values of the repository.

use std::path::PathBuf;

use burn::tensor::{DType, Tensor};
use sd_kernels::DiffusionBackend;
use sd_nn::checkpoint::{
    LoadOptions, Prefixed, SafetensorsFile, WeightSource, load_module, open_weights,
};
use sd_unet::{ClassLabels, Residuals, TextTime, UNet2DConditionModel, UNetConfig, UNetInput};

/// A path below `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(name)
}

/// The configuration in a folder of fixtures.
pub(crate) fn config(folder: &str) -> UNetConfig {
    UNetConfig::open(path(folder).join("config.json")).unwrap()
}

/// The model in a folder of fixtures; every tensor of its file has to have a place.
pub(crate) fn model<B: DiffusionBackend>(folder: &str) -> UNet2DConditionModel<B> {
    let model = config(folder).init::<B>(&Default::default()).unwrap();
    let weights = open_weights(path(folder), None).unwrap();
    let (model, report) = load_module(model, &weights, &LoadOptions::new(DType::F32)).unwrap();
    assert!(report.unexpected.is_empty(), "{folder}: {report:#}");
    model
}

/// The reference values of one call.
pub(crate) struct Golden {
    source: Prefixed<SafetensorsFile>,
}

impl Golden {
    /// The values whose names start with `prefix` in a file of fixtures.
    pub(crate) fn open(file: &str, prefix: &str) -> Self {
        let file = SafetensorsFile::open(path(file)).unwrap();
        Self { source: Prefixed::strip(file, prefix) }
    }

    fn rank(&self, name: &str) -> Option<usize> {
        self.source.info(name).map(|info| info.shape.len())
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        let data = self.source.read(name, DType::F32).unwrap();
        data.iter::<f64>().collect()
    }

    pub(crate) fn tensor<B: DiffusionBackend, const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let data = self.source.read(name, DType::F32).unwrap();
        Tensor::from_data(data, (&Default::default(), DType::F32))
    }

    fn optional<B: DiffusionBackend, const D: usize>(&self, name: &str) -> Option<Tensor<B, D>> {
        self.rank(name).map(|_| self.tensor(name))
    }

    /// The inputs of the call.
    pub(crate) fn input<B: DiffusionBackend>(&self) -> UNetInput<B> {
        let (sample, context) = (self.tensor("input.sample"), self.tensor("input.context"));
        let mut input = UNetInput::new(sample, 0.0, context);
        input.timesteps = self.numbers("input.timestep");
        input.class_labels = self.class_labels();
        input.added = self
            .optional("input.text_embeds")
            .map(|text_embeds| TextTime { text_embeds, time_ids: self.rows("input.time_ids") });
        input.guidance_condition = self.optional("input.timestep_cond");
        input.residuals = self.residuals();
        input
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let width = self.source.info(name).unwrap().shape[1];
        self.numbers(name).chunks(width).map(<[f64]>::to_vec).collect()
    }

    fn class_labels<B: DiffusionBackend>(&self) -> Option<ClassLabels<B>> {
        let name = "input.class_labels";
        let data = self.source.read(name, DType::F32).ok()?;
        Some(match (data.dtype, self.rank(name)?) {
            (DType::I64, _) => {
                ClassLabels::Indices(data.iter::<i64>().map(|index| index as usize).collect())
            }
            (_, 1) => ClassLabels::Scalars(self.numbers(name)),
            _ => ClassLabels::Vectors(self.tensor(name)),
        })
    }

    fn residuals<B: DiffusionBackend>(&self) -> Option<Residuals<B>> {
        let mid = self.optional("input.mid_residual")?;
        let mut names = self.source.names();
        names.retain(|name| name.starts_with("input.down_residuals."));
        names.sort();
        Some(Residuals::new(names.iter().map(|name| self.tensor(name)).collect(), Some(mid)))
    }
}

/// `‖found - expected‖ / ‖expected‖`.
pub(crate) fn relative_l2<B: DiffusionBackend, const D: usize>(
    found: Tensor<B, D>,
    expected: Tensor<B, D>,
) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let values = |tensor: Tensor<B, D>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    let (found, expected) = (values(found), values(expected));
    let square = |sum: f64, value: f64| sum + value * value;
    let error = found.iter().zip(&expected).map(|(a, b)| a - b).fold(0.0, square);
    (error / expected.iter().copied().fold(0.0, square)).sqrt()
}
