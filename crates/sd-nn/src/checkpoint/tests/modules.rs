//! Modules loaded from, saved to and mapped by the paths of their parameters.

use burn::{
    module::{Module, Param, ParamId},
    tensor::{DType, FloatDType, Shape, Tensor, TensorData, backend::Backend},
};
use sd_kernels::WeightRole;

use super::*;
use crate::{
    Conv2d, Conv2dConfig, Embedding, EmbeddingConfig, Linear, LinearConfig, LowRankLinear,
    WeightParam,
    checkpoint::{
        AnyTensor, KeyRule, KeyTable, LoadOptions, MemorySource, ParameterError, ParameterView,
        Parameters, SaveModuleOptions, SaveOptions, WeightSource, load_module, map_parameters,
        open_weights, save_module, tables, visit_parameters,
    },
    impl_parameters,
};

type B = burn_ndarray::NdArray<f32>;

/// A bit of each kind of layer, in each kind of container.
#[derive(Module, Debug)]
struct Model<B: Backend> {
    conv_in: Conv2d<B>,
    embedding: Embedding<B>,
    attentions: Vec<Projection<B>>,
    to_out: Vec<Linear<B>>,
}

#[derive(Module, Debug)]
enum Projection<B: Backend> {
    Conv(Conv2d<B>),
    Linear(Linear<B>),
}

impl_parameters!(Model);

fn model() -> Model<B> {
    let device = Default::default();
    Model {
        conv_in: Conv2dConfig::new(2, 3, 3).init(&device),
        embedding: EmbeddingConfig { entries: 4, width: 2 }.init(&device),
        attentions: vec![
            Projection::Conv(Conv2dConfig::new(2, 3, 1).init(&device)),
            Projection::Linear(LinearConfig::new(2, 3).init(&device)),
        ],
        to_out: vec![LinearConfig::new(2, 2).without_bias().init(&device)],
    }
}

fn counted(shape: &[usize]) -> TensorData {
    let count = shape.iter().product::<usize>();
    TensorData::new((0..count).map(|i| i as f32).collect::<Vec<_>>(), shape.to_vec())
}

/// The model's tensors as a file has them; each projection as the other kind of layer.
fn source() -> MemorySource {
    let mut source = MemorySource::new("memory");
    for (name, shape) in [
        ("conv_in.weight", &[3, 2, 3, 3][..]),
        ("conv_in.bias", &[3]),
        ("embedding.weight", &[4, 2]),
        ("attentions.0.weight", &[3, 2]),
        ("attentions.0.bias", &[3]),
        ("attentions.1.weight", &[3, 2, 1, 1]),
        ("attentions.1.bias", &[3]),
        ("to_out.0.weight", &[2, 2]),
    ] {
        source.insert(name, counted(shape)).unwrap();
    }
    source
}

fn options() -> LoadOptions {
    LoadOptions::new(DType::F32)
}

/// The values of every parameter, in the module's order of elements.
fn values(model: &Model<B>) -> Vec<(String, Vec<f32>)> {
    let mut values = Vec::new();
    visit_parameters::<B, _>(model, &mut |view| {
        let data = view.tensor().try_into_data().unwrap();
        values.push((view.path().to_owned(), data.convert_dtype(DType::F32).to_vec().unwrap()));
    });
    values
}

#[test]
fn parameters_are_found_by_path_and_convolutions_laid_out() {
    let (model, report) = load_module::<B, _>(model(), &source(), &options()).unwrap();
    assert_eq!(report.loaded, 8);
    assert!(report.is_complete() && report.unexpected.is_empty());
    let weight = model.conv_in.weight.dense();
    assert_eq!(weight.dims(), [3, 3, 3, 2]);
    let expected = Tensor::<B, 4>::from_data(counted(&[3, 2, 3, 3]), &Default::default())
        .permute([0, 2, 3, 1]);
    assert_eq!(weight.to_data(), expected.to_data());
    for (path, values) in values(&model).into_iter().skip(1) {
        let expected: Vec<f32> = (0..values.len()).map(|i| i as f32).collect();
        assert_eq!(values, expected, "{path}");
    }
}

#[test]
fn what_is_replaced_is_not_initialised() {
    let init = |_: &_, _| panic!("initialised");
    let device = Default::default();
    let lazy = Param::uninitialized(ParamId::new(), init, device, false, Shape::new([2, 2]));
    let layer = Linear::<B> {
        weight: WeightParam::from_param(lazy, WeightRole::Linear),
        bias: None,
        low_rank: vec![],
    };
    let mut source = MemorySource::new("memory");
    source.insert("weight", counted(&[2, 2])).unwrap();
    let (layer, _) = load_module::<B, _>(layer, &source, &options()).unwrap();
    assert_eq!(layer.weight.dense().to_data(), counted(&[2, 2]));
}

#[test]
fn missing_mis_shaped_and_unexpected_tensors_are_told() {
    let mut source = source();
    source.insert("conv_in.weight", counted(&[3, 9, 3, 3])).unwrap();
    source.insert("decay", counted(&[])).unwrap();
    let table = KeyTable::new([KeyRule::new("embeddings.*", "embedding.*")]).ignore("conv_in.bias");
    let error = load_module::<B, _>(model(), &source, &options().table(table)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory does not fit the model: 6 parameters loaded; 1 missing: `conv_in.bias` [3]; \
         1 of another shape: `conv_in.weight` expected [3, 2, 3, 3], found [3, 9, 3, 3]; 1 unexpected: `decay` []"
    );
}

#[test]
fn unexpected_tensors_are_only_reported() {
    let mut source = source();
    source.insert("model_ema.decay", counted(&[])).unwrap();
    let (_, report) = load_module::<B, _>(model(), &source, &options()).unwrap();
    assert_eq!(report.unexpected.len(), 1);
    assert_eq!(report.unexpected[0].key, "model_ema.decay");
}

#[test]
fn integers_are_no_parameters() {
    let mut source = source();
    source.insert("conv_in.bias", TensorData::new(vec![1i64, 2, 3], [3])).unwrap();
    let error = load_module::<B, _>(model(), &source, &options()).unwrap_err();
    let expected = "memory: parameter `conv_in.bias` has dtype I64, expected F16, BF16, F32 or F64";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn legacy_names_are_loaded_through_their_table() {
    #[derive(Module, Debug)]
    struct Vae<B: Backend> {
        attentions: Vec<Attention<B>>,
    }
    #[derive(Module, Debug)]
    struct Attention<B: Backend> {
        to_q: Linear<B>,
        to_out: Vec<Linear<B>>,
    }
    let linear = || LinearConfig::new(2, 2).without_bias().init::<B>(&Default::default());
    let vae = Vae { attentions: vec![Attention { to_q: linear(), to_out: vec![linear()] }] };
    let mut source = MemorySource::new("memory");
    source.insert("attentions.0.query.weight", counted(&[2, 2, 1, 1])).unwrap();
    source.insert("attentions.0.proj_attn.weight", counted(&[2, 2])).unwrap();
    let table = tables::vae(&source);
    let (vae, report) = load_module::<B, _>(vae, &source, &options().table(table.clone())).unwrap();
    assert_eq!(report.loaded, 2);
    assert_eq!(vae.attentions[0].to_q.weight.dense().to_data(), counted(&[2, 2]));
    let scratch = Scratch::new();
    let options = SaveModuleOptions { table, ..Default::default() };
    save_module::<B, _>(&vae, scratch.root(), "model", &options).unwrap();
    let mut names = open_weights(scratch.root(), None).unwrap().names();
    names.sort();
    assert_eq!(names, ["attentions.0.proj_attn.weight", "attentions.0.query.weight"]);
}

#[test]
fn what_is_saved_is_loaded_again_in_files_order() {
    let (first, _) = load_module::<B, _>(model(), &source(), &options()).unwrap();
    for (dtype, max_shard_bytes) in
        [(None, u64::MAX), (Some(DType::F16), u64::MAX), (Some(DType::F64), 64)]
    {
        let scratch = Scratch::new();
        let files = SaveOptions { max_shard_bytes, ..Default::default() };
        let options = SaveModuleOptions { dtype, files, ..Default::default() };
        save_module::<B, _>(&first, scratch.root(), "model", &options).unwrap();
        let saved = open_weights(scratch.root(), None).unwrap();
        assert_eq!(saved.info("conv_in.weight").unwrap().shape, [3, 2, 3, 3]);
        assert_eq!(saved.read("conv_in.weight", DType::F32).unwrap(), counted(&[3, 2, 3, 3]));
        let (second, _) =
            load_module::<B, _>(model(), &saved, &LoadOptions::new(DType::F32)).unwrap();
        assert_eq!(values(&second), values(&first));
    }
}

#[test]
fn adapters_are_no_part_of_the_model() {
    let (mut model, _) = load_module::<B, _>(model(), &source(), &options()).unwrap();
    let down = Tensor::ones([1, 2], &Default::default());
    model.to_out[0].low_rank.push(LowRankLinear::new(
        "style",
        down,
        Tensor::ones([2, 1], &Default::default()),
        1.0,
    ));
    let scratch = Scratch::new();
    save_module::<B, _>(&model, scratch.root(), "model", &Default::default()).unwrap();
    let saved = open_weights(scratch.root(), None).unwrap();
    assert_eq!(saved.names().len(), 8);
    let (model, report) = load_module::<B, _>(model, &saved, &options()).unwrap();
    assert_eq!((report.loaded, model.to_out[0].low_rank.len()), (8, 1));
    let mut paths = Vec::new();
    model.visit_parameters(&mut |view: ParameterView<'_, B>| paths.push(view.path().to_owned()));
    assert!(paths.contains(&"to_out.0.low_rank.0.down".to_owned()), "{paths:?}");
}

#[test]
fn a_source_that_fails_midway_is_an_error() {
    struct Failing(MemorySource);
    impl WeightSource for Failing {
        fn origin(&self) -> String {
            "failing".into()
        }
        fn names(&self) -> Vec<String> {
            self.0.names()
        }
        fn info(&self, name: &str) -> Option<crate::checkpoint::TensorInfo> {
            self.0.info(name)
        }
        fn read(&self, name: &str, dtype: DType) -> Result<TensorData, CheckpointError> {
            if name == "embedding.weight" {
                return Err(CheckpointError::NotFound { path: "disk".into() });
            }
            self.0.read(name, dtype)
        }
    }
    let error = load_module::<B, _>(model(), &Failing(source()), &options()).unwrap_err();
    assert!(matches!(error, CheckpointError::NotFound { .. }), "{error}");
}

#[test]
fn parameters_are_visited_without_being_drawn() {
    let model = model();
    let component: &dyn Parameters<B> = &model;
    let mut seen = Vec::new();
    component.visit_parameters(&mut |view| {
        assert!(!view.is_initialized());
        seen.push((view.path().to_owned(), view.shape().to_vec()));
    });
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[0], ("conv_in.weight".to_owned(), vec![3, 3, 3, 2]));
}

#[test]
fn parameters_are_mapped_by_path_and_keep_their_rank_and_shape() {
    let (mut model, _) = load_module::<B, _>(model(), &source(), &options()).unwrap();
    let before = values(&model);
    map_parameters::<B, _>(&mut model, &mut |_, tensor| tensor.cast(FloatDType::F64)).unwrap();
    let mut dtypes = Vec::new();
    model.visit_parameters(&mut |view: ParameterView<'_, B>| dtypes.push(view.dtype()));
    assert_eq!(dtypes, [DType::F64; 8]);
    assert_eq!(values(&model), before);

    let double = |path: &str, tensor: AnyTensor<B>| match path {
        "to_out.0.weight" => (tensor.into_tensor::<2>().unwrap() * 2).into(),
        _ => tensor,
    };
    Parameters::<B>::map_parameters(&mut model, &mut { double }).unwrap();
    assert_eq!(values(&model).pop().unwrap().1, [0.0, 2.0, 4.0, 6.0]);
}

#[test]
fn a_mapping_that_changes_a_shape_is_refused_and_loses_nothing() {
    let (mut model, _) = load_module::<B, _>(model(), &source(), &options()).unwrap();
    let before = values(&model);
    for path in ["conv_in.weight", "attentions.1.bias"] {
        let error = map_parameters::<B, _>(&mut model, &mut |at, tensor| match at == path {
            true => Tensor::<B, 1>::zeros([7], &Default::default()).into(),
            false => tensor,
        });
        let Err(ParameterError::ShapeChanged { path: at, found, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((at.as_str(), found), (path, vec![7]));
        assert_eq!(values(&model), before);
    }
}

/// A component of a user's own that is no Burn module, for every backend.
struct Constant;

impl<B: Backend> Parameters<B> for Constant {}

#[test]
fn components_without_parameters_have_none() {
    Parameters::<B>::visit_parameters(&Constant, &mut |view| panic!("{view:?}"));
    Parameters::<B>::map_parameters(&mut Constant, &mut |path, _| panic!("{path}")).unwrap();
}
