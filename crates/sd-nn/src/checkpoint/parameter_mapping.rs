//! Every parameter of a module replaced by what a closure makes of it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::{Tensor, backend::Backend},
};

use super::{AnyTensor, path::ModulePath};

/// Makes a parameter's new value from its path and its old value.
pub type ParameterMap<'a, B> = dyn FnMut(&str, AnyTensor<B>) -> AnyTensor<B> + 'a;

/// A mapping that returned what cannot take the parameter's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Another shape, or another rank.
    #[error("parameter `{path}` has shape {expected:?}, its replacement {found:?}")]
    ShapeChanged {
        /// The parameter.
        path: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The shape of what was to replace it.
        found: Vec<usize>,
    },
}

/// Replaces every parameter of a Burn module; see [`Parameters::map_parameters`](super::Parameters::map_parameters).
///
/// Old values are dropped as they are replaced, so that a whole model's dtype changes in the memory of one model and one
/// tensor.
///
/// # Errors
/// [`ParameterError`]: that parameter and those behind it keep their values.
///
/// # Panics
/// When `map` does; here, too, that parameter and those behind it keep their values.
pub fn map_parameters<B: Backend, M: Module<B>>(
    module: &mut M,
    map: &mut ParameterMap<'_, B>,
) -> Result<(), ParameterError> {
    // Burn maps by value, and a clone would keep every old tensor alive until the end: an empty module stands in.
    let empty = module.clone().map(&mut Emptier);
    let full = std::mem::replace(module, empty);
    let mut replacer = Replacer { path: ModulePath::default(), map, stopped: None };
    *module = full.map(&mut replacer);
    match replacer.stopped {
        None => Ok(()),
        Some(Stopped::Refused(error)) => Err(error),
        Some(Stopped::Panicked(panic)) => resume_unwind(panic),
    }
}

/// Drops every value and keeps shape and device. What stays like this, because something else than the closure panicked,
/// must not be computed with.
struct Emptier;

impl<B: Backend> ModuleMapper<B> for Emptier {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !param.is_initialized() {
            return param;
        }
        let init = |_: &B::Device, _| panic!("the weights were lost when a mapping failed");
        let (device, shape) = (param.lazy_device(), param.lazy_shape());
        Param::uninitialized(ParamId::new(), init, device, param.is_require_grad(), shape)
    }
}

/// Why the parameters behind some one keep their values.
enum Stopped {
    Refused(ParameterError),
    Panicked(Box<dyn Any + Send>),
}

struct Replacer<'a, 'm, B: Backend> {
    path: ModulePath,
    map: &'a mut ParameterMap<'m, B>,
    stopped: Option<Stopped>,
}

impl<B: Backend> Replacer<'_, '_, B> {
    fn replace<const D: usize>(&mut self, old: &Tensor<B, D>) -> Result<Tensor<B, D>, Stopped> {
        let path = self.path.key();
        // The module is in pieces until it has been mapped to its end; only then may the panic go on.
        catch_unwind(AssertUnwindSafe(|| {
            let new = (self.map)(&path, AnyTensor::from(old.clone()));
            if new.shape() != old.dims() {
                let (expected, found) = (old.dims().to_vec(), new.shape());
                let path = path.clone();
                return Err(Stopped::Refused(ParameterError::ShapeChanged {
                    path,
                    expected,
                    found,
                }));
            }
            // A leaf of its own: a parameter has no history to be differentiated through.
            let new = Tensor::from_primitive(new.into_primitive()).detach();
            Ok(new.set_require_grad(old.is_require_grad()))
        }))
        .unwrap_or_else(|panic| Err(Stopped::Panicked(panic)))
    }
}

impl<B: Backend> ModuleMapper<B> for Replacer<'_, '_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if self.stopped.is_some() {
            return param;
        }
        let (id, old, mapper) = param.consume();
        match self.replace(&old) {
            Ok(new) => Param::from_mapped_value(id, new, mapper),
            Err(stopped) => {
                self.stopped = Some(stopped);
                Param::from_mapped_value(id, old, mapper)
            }
        }
    }
}
