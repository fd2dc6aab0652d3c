//! Any component's parameters, by path, behind an object-safe trait.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{DType, Tensor, backend::Backend},
};

use super::{AnyTensor, ParameterError, ParameterMap, path::ModulePath};

/// A component whose parameters can be visited and replaced by path: what LoRA, dtype changes, offload and inspection
/// need of it.
///
/// Both methods do nothing by default, for components without parameters. A Burn module gets both from
/// [`impl_parameters!`](crate::impl_parameters).
pub trait Parameters<B: Backend>: Send + Sync {
    /// Shows every parameter, in the order of the module tree.
    fn visit_parameters(&self, visit: &mut dyn FnMut(ParameterView<'_, B>)) {
        let _ = visit;
    }

    /// Replaces every parameter by what `map` makes of it; it may change the dtype and the device, not the shape.
    ///
    /// # Errors
    /// [`ParameterError`]: that parameter and those behind it keep their values, as they do when `map` panics.
    fn map_parameters(&mut self, map: &mut ParameterMap<'_, B>) -> Result<(), ParameterError> {
        let _ = map;
        Ok(())
    }
}

/// One parameter of a component.
pub struct ParameterView<'a, B: Backend> {
    path: &'a str,
    shape: Vec<usize>,
    initialized: bool,
    value: &'a dyn Fn() -> AnyTensor<B>,
}

impl<B: Backend> std::fmt::Debug for ParameterView<'_, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParameterView")
            .field("path", &self.path)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> ParameterView<'_, B> {
    /// Path in the module tree, which is the key in diffusers' files.
    pub fn path(&self) -> &str {
        self.path
    }

    /// Shape in the module: convolution weights are `[out, kh, kw, in]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether it has a value already; asking for the value of one that has not draws it.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Element type of its value.
    pub fn dtype(&self) -> DType {
        self.tensor().dtype()
    }

    /// Its value.
    pub fn tensor(&self) -> AnyTensor<B> {
        (self.value)()
    }
}

/// Implements [`Parameters`] for a Burn module that is generic over its backend and nothing else.
///
/// Not a blanket implementation: that would keep components that are no Burn modules from implementing the trait.
#[macro_export]
macro_rules! impl_parameters {
    ($($module:ident),+ $(,)?) => {$(
        impl<B: $crate::checkpoint::DiffusionBackend> $crate::checkpoint::Parameters<B> for $module<B> {
            fn visit_parameters(&self, visit: &mut dyn FnMut($crate::checkpoint::ParameterView<'_, B>)) {
                $crate::checkpoint::visit_parameters(self, visit);
            }

            fn map_parameters(
                &mut self,
                map: &mut $crate::checkpoint::ParameterMap<'_, B>,
            ) -> Result<(), $crate::checkpoint::ParameterError> {
                $crate::checkpoint::map_parameters(self, map)
            }
        }
    )+};
}

/// Shows every parameter of a Burn module.
pub fn visit_parameters<B: Backend, M: Module<B>>(
    module: &M,
    visit: &mut dyn FnMut(ParameterView<'_, B>),
) {
    module.visit(&mut Viewer { path: ModulePath::default(), visit });
}

struct Viewer<'a, 'v, B: Backend> {
    path: ModulePath,
    visit: &'a mut (dyn FnMut(ParameterView<'_, B>) + 'v),
}

impl<B: Backend> ModuleVisitor<B> for Viewer<'_, '_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        (self.visit)(ParameterView {
            path: &self.path.key(),
            shape: param.lazy_shape().to_vec(),
            initialized: param.is_initialized(),
            value: &|| param.val().into(),
        });
    }
}
