//! Loading a module: one pass over its tree, each parameter by its path.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{DType, Shape, Tensor, TensorData, backend::Backend},
};
use sd_kernels::{DiffusionBackend, WeightRole};

use super::{
    CheckpointError, FileDtype, KeyTable, LoadReport, MisShapedTensor, MissingTensor, Renamed,
    UnexpectedTensor, WeightSource, convert,
    header::byte_len,
    layout::{Layout, file_shape, layout},
    path::{ModulePath, visit},
};

/// What parameters can be loaded as.
const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];

/// How a source is loaded into a module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Element type of every parameter, whatever the file has: F16, BF16, F32 or F64, if the backend has it.
    pub dtype: DType,
    /// The names of the source.
    pub table: KeyTable,
}

impl LoadOptions {
    /// Parameters of this dtype, under the names that the module gives them.
    pub fn new(dtype: DType) -> Self {
        Self { dtype, table: KeyTable::default() }
    }

    /// Sets the names of the source.
    pub fn table(mut self, table: KeyTable) -> Self {
        self.table = table;
        self
    }
}

/// Replaces every parameter of a module by its tensor in the source.
///
/// A parameter's path is its key, but for what the table renames. Convolution weights of files are `[out, in, kh, kw]` and
/// become `[out, kh, kw, in]`. Nothing is read before every key and shape has been checked, and no parameter that is
/// replaced is initialised before. Low-rank branches of layers keep their values.
///
/// The backend is told what each tensor is for ([`WeightRole`]), which follows from the parameter's rank and from the name of
/// the struct that holds it, in modules of your own as in those of this crate: rank 4 is a convolution; rank 2 is a table,
/// of which rows are looked up, in a struct named `Embedding`, and a linear layer in any other; other ranks are vectors.
///
/// The report names tensors that no parameter asked for; they are also logged.
///
/// # Errors
/// [`CheckpointError::UnsupportedByBackend`] when the backend lacks the dtype, [`CheckpointError::Incompatible`] when tensors
/// are missing or have another shape, [`CheckpointError::ReadMismatch`] when the source gives something else than it was
/// asked for, or what reading a tensor says.
pub fn load_module<B: DiffusionBackend, M: Module<B>>(
    module: M,
    source: &dyn WeightSource,
    options: &LoadOptions,
) -> Result<(M, LoadReport), CheckpointError> {
    let renamed = Renamed::new(source, &options.table)?;
    let Expected { shapes, devices, .. } = Expected::of(&module);
    check_dtype::<B>(options.dtype, &devices, source)?;
    let (plan, report) = plan(shapes, &renamed, &options.table)?;
    let origin = source.origin();
    if !report.unexpected.is_empty() {
        tracing::warn!(%origin, %report, "tensors that no parameter asks for");
    }
    let mut loader = Loader {
        path: ModulePath::default(),
        source: &renamed,
        plan,
        dtype: options.dtype,
        failed: None,
    };
    let module = module.map(&mut loader);
    match loader.failed {
        Some(error) => Err(error),
        None => Ok((module, report)),
    }
}

/// Compares a source with a module as [`load_module`] does before it reads anything. Neither reads tensors nor initialises
/// parameters.
///
/// # Errors
/// [`CheckpointError::Incompatible`] when tensors are missing or have another shape.
pub fn check_module<B: Backend, M: Module<B>>(
    module: &M,
    source: &dyn WeightSource,
    table: &KeyTable,
) -> Result<LoadReport, CheckpointError> {
    let renamed = Renamed::new(source, table)?;
    plan(Expected::of(module).shapes, &renamed, table).map(|(_, report)| report)
}

/// Whether the devices have a dtype to load weights as.
fn check_dtype<B: Backend>(
    asked: DType,
    devices: &[B::Device],
    source: &dyn WeightSource,
) -> Result<(), CheckpointError> {
    let supported = |device: &B::Device| -> Vec<DType> {
        FLOATS.into_iter().filter(|dtype| B::supports_dtype(device, *dtype)).collect()
    };
    let mut devices = devices.iter().map(|device| (device, supported(device)));
    match devices.find(|(_, supported)| !supported.contains(&asked)) {
        None => Ok(()),
        Some((device, supported)) => Err(CheckpointError::UnsupportedByBackend {
            origin: source.origin(),
            asked,
            backend: B::name(device),
            supported,
        }),
    }
}

/// Every parameter's way from the file into the module, and what is wrong with it.
fn plan(
    shapes: Vec<(String, Vec<usize>)>,
    source: &Renamed<&dyn WeightSource>,
    table: &KeyTable,
) -> Result<(HashMap<String, Layout>, LoadReport), CheckpointError> {
    let mut plan = HashMap::new();
    let mut report = LoadReport::default();
    for (path, shape) in shapes {
        let Some(info) = source.info(&path) else {
            let (key, shape) = (table.to_file(&path), file_shape(&shape));
            report.missing.push(MissingTensor { key, shape, nearest: None });
            continue;
        };
        let key = source.key(&path).unwrap_or(&path).to_owned();
        if !matches!(info.dtype, FileDtype::F16 | FileDtype::BF16 | FileDtype::F32 | FileDtype::F64)
        {
            return Err(CheckpointError::NotFloat {
                origin: source.origin(),
                name: key,
                found: info.dtype,
            });
        }
        match layout(&shape, &info.shape) {
            Some(layout) => {
                plan.insert(path, layout);
            }
            None => report.mis_shaped.push(MisShapedTensor {
                key,
                expected: file_shape(&shape),
                found: info.shape,
            }),
        }
    }
    report.loaded = plan.len();
    report.unexpected = unexpected(source, &plan, &report);
    report.suggest();
    match report.is_complete() {
        true => Ok((plan, report)),
        false => {
            Err(CheckpointError::Incompatible { origin: source.origin(), report: Box::new(report) })
        }
    }
}

/// Tensors of the source that are in nobody's plan.
fn unexpected(
    source: &Renamed<&dyn WeightSource>,
    plan: &HashMap<String, Layout>,
    report: &LoadReport,
) -> Vec<UnexpectedTensor> {
    let mis_shaped: HashSet<&str> =
        report.mis_shaped.iter().map(|entry| entry.key.as_str()).collect();
    let paths = source.names().into_iter().filter(|path| !plan.contains_key(path));
    let entries = paths.filter_map(|path| {
        let key = source.key(&path)?;
        let shape = source.info(&path)?.shape;
        (!mis_shaped.contains(key)).then(|| UnexpectedTensor {
            key: key.into(),
            shape,
            nearest: None,
        })
    });
    entries.collect()
}

/// Collects the path and shape of every parameter, and where they are; initialises none.
struct Expected<B: Backend> {
    path: ModulePath,
    shapes: Vec<(String, Vec<usize>)>,
    devices: Vec<B::Device>,
}

impl<B: Backend> Expected<B> {
    fn of<M: Module<B>>(module: &M) -> Self {
        let mut expected = Self { path: ModulePath::default(), shapes: vec![], devices: vec![] };
        visit::<B, M>(module, &mut expected);
        expected
    }
}

impl<B: Backend> ModuleVisitor<B> for Expected<B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.path.is_adapter() {
            return;
        }
        self.shapes.push((self.path.key(), param.lazy_shape().to_vec()));
        let device = param.lazy_device();
        if !self.devices.contains(&device) {
            self.devices.push(device);
        }
    }
}

/// Puts tensors into the places of parameters; after a failure it leaves the rest alone.
struct Loader<'a> {
    path: ModulePath,
    source: &'a Renamed<&'a dyn WeightSource>,
    plan: HashMap<String, Layout>,
    dtype: DType,
    failed: Option<CheckpointError>,
}

impl Loader<'_> {
    fn read(
        &self,
        path: &str,
        layout: Layout,
        shape: Shape,
    ) -> Result<TensorData, CheckpointError> {
        let mut data = self.source.read(path, self.dtype)?;
        self.check(path, &shape, &data)?;
        layout.file_to_module(&mut data);
        data.shape = shape;
        Ok(data)
    }

    /// Sources are of anyone's making, and backends read as far as shape and dtype say.
    fn check(&self, path: &str, shape: &Shape, data: &TensorData) -> Result<(), CheckpointError> {
        let (origin, asked) = (self.source.origin(), self.dtype);
        let name = self.source.key(path).unwrap_or(path).to_owned();
        let Some(expected) = convert::file_dtype(asked) else {
            return Err(CheckpointError::UnsupportedTarget { origin, name, asked });
        };
        let expected_bytes = byte_len(shape.as_slice(), expected).unwrap_or(u64::MAX);
        let (found, found_bytes) = (data.dtype, data.bytes.len() as u64);
        if found == asked && found_bytes == expected_bytes {
            return Ok(());
        }
        Err(CheckpointError::ReadMismatch {
            origin,
            name,
            expected,
            expected_bytes,
            found,
            found_bytes,
        })
    }
}

impl<B: DiffusionBackend> ModuleMapper<B> for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let path = self.path.key();
        let Some(layout) = self.plan.get(&path).copied().filter(|_| self.failed.is_none()) else {
            return param;
        };
        match self.read(&path, layout, param.lazy_shape()) {
            Ok(data) => {
                let role = role(D, self.path.holder());
                let tensor = B::upload_weight::<D>(data, role, self.dtype, &param.lazy_device());
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}

/// What a parameter is for, from its rank and the struct that holds it, as [`load_module`] promises.
pub(crate) fn role(rank: usize, holder: Option<&str>) -> WeightRole {
    match (rank, holder) {
        (2, Some("Embedding")) => WeightRole::Embedding,
        (2, _) => WeightRole::Linear,
        (4, _) => WeightRole::Conv2d,
        _ => WeightRole::Vector,
    }
}
