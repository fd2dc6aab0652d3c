//! Checkpoint files: finding, reading and writing weights in diffusers' layout, and loading them into modules.
//!
//! - [`find_weights`], [`open_weights`]: a component's directory → its files, single or sharded, plain or a variant.
//! - [`open`], [`sniff`]: any file of weights, told by its contents.
//! - [`SingleFile`]: a whole model in one file (LDM, SGM), as the components of diffusers.
//! - [`WeightSource`]: named tensors, from a [`SafetensorsFile`], [`TorchFile`], [`GgufFile`], [`ShardedFiles`],
//!   [`MemorySource`], or one of these seen through [`Prefixed`] or [`Renamed`].
//! - [`KeyTable`], [`tables`]: names in files ↔ paths of parameters.
//! - [`load_module`], [`save_module`]: sources ↔ modules, by the path of each parameter, with a [`LoadReport`].
//! - [`Parameters`]: any module's parameters, visited and mapped by path behind an object-safe trait.
//!
//! Files come from strangers: every length, offset, shape and name is checked before it is used.

mod any_tensor;
mod convert;
mod copy;
mod discover;
mod error;
mod file_names;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
mod gguf;
mod header;
mod header_problem;
mod key_table;
mod layout;
mod leftovers;
mod load_module;
mod mapping;
mod nearest;
mod parameter_mapping;
mod parameters;
mod path;
mod pickle;
mod replace;
mod report;
mod safetensors_file;
mod save;
mod save_module;
mod save_plan;
mod sharded;
mod single_file;
mod source;
pub mod tables;
#[cfg(test)]
mod tests;
mod torch;
mod weight_file;
mod writer;

pub use any_tensor::AnyTensor;
pub use copy::tensors_of;
pub use discover::{
    FoundWeights, WeightFiles, choose_weights, find_weights, has_weights_name, open_weights,
    weight_variants,
};
pub use error::CheckpointError;
pub use foreign::ForeignFormat;
pub use gguf::{GgmlType, GgufFile, GgufProblem};
pub use header::MAX_HEADER_BYTES;
pub use header_problem::HeaderProblem;
pub use key_table::{KeyRule, KeyRuleError, KeyTable, NotBijective};
pub use load_module::{LoadOptions, check_module, load_module};
pub use parameter_mapping::{ParameterError, ParameterMap, map_parameters};
pub use parameters::{ParameterView, Parameters, visit_parameters};
pub use pickle::PickleProblem;
pub use report::{LoadReport, MisShapedTensor, MissingTensor, UnexpectedTensor};
/// Element types of files.
pub use safetensors::Dtype as FileDtype;
pub use safetensors_file::{SafetensorsFile, TensorView};
pub use save::{TensorBytes, TensorToSave, save_file, save_new_file, save_weights};
pub use save_module::{SaveModuleOptions, save_module};
pub use save_plan::{DEFAULT_MAX_SHARD_BYTES, SaveOptions, TensorSpec};
/// For [`impl_parameters!`](crate::impl_parameters).
#[doc(hidden)]
pub use sd_kernels::DiffusionBackend;
pub use sharded::{IndexProblem, ShardedFiles, shard_files};
pub use single_file::{
    Component, FileContents, ModelFamily, Prediction, SingleFile, SingleFileOptions, SingleFileView,
};
pub use source::{MemorySource, Prefixed, Renamed, TensorInfo, WeightSource};
pub use torch::{TorchFile, TorchProblem};
pub use weight_file::{FileKind, WeightFile, open, sniff};
pub use writer::CheckpointWriter;
