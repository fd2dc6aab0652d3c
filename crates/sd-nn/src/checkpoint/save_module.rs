//! Saving a module: its parameters under their paths, in the layout of files.

use std::path::{Path, PathBuf};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{DType, Tensor},
};
use sd_kernels::DiffusionBackend;

use super::{
    CheckpointError, CheckpointWriter, KeyTable, SaveOptions, TensorSpec, convert,
    layout::{Layout, file_shape},
    path::{ModulePath, visit},
};

/// How a module is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveModuleOptions {
    /// Element type in the file; `None` keeps each parameter's own.
    pub dtype: Option<DType>,
    /// The names in the file.
    pub table: KeyTable,
    /// Shards, variant and metadata.
    pub files: SaveOptions,
}

/// Writes every parameter of a module into a component's directory, in the layout that [`load_module`](super::load_module) reads.
///
/// Parameters leave the device one by one. Low-rank branches of layers are not written. Returns the file, or the index of
/// the shards.
///
/// # Errors
/// [`CheckpointError`]: a dtype that files do not have, or what writing says; see [`CheckpointWriter`].
pub fn save_module<B: DiffusionBackend, M: Module<B>>(
    module: &M,
    directory: impl AsRef<Path>,
    stem: &str,
    options: &SaveModuleOptions,
) -> Result<PathBuf, CheckpointError> {
    let mut announced =
        Announced { path: ModulePath::default(), options, specs: Vec::new(), failed: None };
    visit::<B, M>(module, &mut announced);
    if let Some(error) = announced.failed {
        return Err(error);
    }
    let writer = CheckpointWriter::create(directory, stem, announced.specs, &options.files)?;
    let mut saver = Saver { path: ModulePath::default(), options, writer, failed: None };
    visit::<B, M>(module, &mut saver);
    match saver.failed {
        Some(error) => Err(error),
        None => saver.writer.finish(),
    }
}

/// Collects what will be written.
struct Announced<'a> {
    path: ModulePath,
    options: &'a SaveModuleOptions,
    specs: Vec<TensorSpec>,
    failed: Option<CheckpointError>,
}

impl<B: DiffusionBackend> ModuleVisitor<B> for Announced<'_> {
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
        let name = self.options.table.to_file(&self.path.key());
        let asked = self.options.dtype.unwrap_or_else(|| param.dtype());
        match convert::file_dtype(asked).filter(|_| asked.is_float()) {
            Some(dtype) => self.specs.push(TensorSpec {
                name,
                dtype,
                shape: file_shape(&param.lazy_shape().to_vec()),
            }),
            None => {
                let origin = "the module".to_owned();
                self.failed = Some(CheckpointError::UnsupportedTarget { origin, name, asked });
            }
        }
    }
}

/// Writes each parameter to its place in the file.
struct Saver<'a> {
    path: ModulePath,
    options: &'a SaveModuleOptions,
    writer: CheckpointWriter,
    failed: Option<CheckpointError>,
}

impl Saver<'_> {
    fn save<B: DiffusionBackend, const D: usize>(
        &mut self,
        tensor: Tensor<B, D>,
    ) -> Result<(), CheckpointError> {
        let path = self.path.key();
        let layout = Layout::to_file(&tensor.dims());
        let mut data = tensor.try_into_data().map_err(|error| CheckpointError::Device {
            name: path.clone(),
            message: error.to_string(),
        })?;
        if let Some(dtype) = self.options.dtype {
            data = data.convert_dtype(dtype);
        }
        layout.module_to_file(&mut data);
        self.writer.write(&self.options.table.to_file(&path), &data.bytes)
    }
}

impl<B: DiffusionBackend> ModuleVisitor<B> for Saver<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.failed.is_none() && !self.path.is_adapter() {
            self.failed = self.save(param.val()).err();
        }
    }
}
