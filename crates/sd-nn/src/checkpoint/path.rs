//! The path of a parameter in its module tree, which is its key in a file.

use burn::{
    module::{Module, ModuleVisitor},
    tensor::backend::Backend,
};

/// Where in the module tree a visitor or mapper is.
#[derive(Debug, Default)]
pub(crate) struct ModulePath {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// `None` for an enum's variant, which has no part in keys.
    segment: Option<String>,
    container: String,
}

impl ModulePath {
    /// Burn enters a struct's fields with `Struct:NAME`, list and tuple elements with their index, and the value of an
    /// enum with its variant's name and `Enum:NAME`.
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        let segment = (!container.starts_with("Enum:")).then(|| name.to_owned());
        self.levels.push(Level { segment, container: container.to_owned() });
    }

    pub(crate) fn exit(&mut self) {
        self.levels.pop();
    }

    /// The dot-separated path.
    pub(crate) fn key(&self) -> String {
        let segments: Vec<&str> = self.segments().collect();
        segments.join(".")
    }

    /// Whether this is inside an adapter's branch of a layer, which is no part of the model's own checkpoint.
    pub(crate) fn is_adapter(&self) -> bool {
        self.segments().any(|segment| segment == "low_rank")
    }

    /// The name of the struct that holds the parameter.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.levels.last()?.container.strip_prefix("Struct:")
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| level.segment.as_deref())
    }
}

/// Names the backend where a module may be one for several.
pub(crate) fn visit<B: Backend, M: Module<B>>(module: &M, visitor: &mut impl ModuleVisitor<B>) {
    module.visit(visitor);
}

#[cfg(test)]
mod tests {
    use burn::{
        module::{ModuleMapper, Param},
        tensor::Tensor,
    };

    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    #[derive(Module, Debug)]
    struct Leaf<B: Backend> {
        weight: Param<Tensor<B, 1>>,
        bias: Option<Param<Tensor<B, 1>>>,
    }

    #[derive(Module, Debug)]
    #[allow(clippy::large_enum_variant)]
    enum Either<B: Backend> {
        Left(Leaf<B>),
        Right(Vec<Leaf<B>>),
    }

    #[derive(Module, Debug)]
    struct Tree<B: Backend> {
        blocks: Vec<Either<B>>,
        to_out: (Leaf<B>, Option<Leaf<B>>),
        size: usize,
    }

    fn leaf() -> Leaf<B> {
        Leaf {
            weight: Param::from_data([1.0], &Default::default()),
            bias: Some(Param::from_data([1.0], &Default::default())),
        }
    }

    fn tree() -> Tree<B> {
        let blocks = vec![Either::Left(leaf()), Either::Right(vec![leaf()])];
        Tree { blocks, to_out: (leaf(), None), size: 3 }
    }

    const KEYS: [&str; 6] = [
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.0.weight",
        "blocks.1.0.bias",
        "to_out.0.weight",
        "to_out.0.bias",
    ];

    #[derive(Default)]
    struct Keys {
        path: ModulePath,
        keys: Vec<String>,
        holders: Vec<String>,
    }

    impl ModuleVisitor<B> for Keys {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<B, D>>) {
            self.keys.push(self.path.key());
            self.holders.extend(self.path.holder().map(Into::into));
        }
    }

    impl ModuleMapper<B> for Keys {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            self.keys.push(self.path.key());
            param
        }
    }

    #[test]
    fn variants_have_no_segment_and_indices_have_one_whether_visited_or_mapped() {
        let mut visited = Keys::default();
        tree().visit(&mut visited);
        assert_eq!(visited.keys, KEYS);
        assert_eq!(visited.holders, ["Leaf"; 6]);
        let mut mapped = Keys::default();
        tree().map(&mut mapped);
        assert_eq!(mapped.keys, KEYS);
    }

    #[test]
    fn adapters_are_told_by_their_field() {
        let mut path = ModulePath::default();
        path.enter("low_rank", "Struct:Linear");
        path.enter("0", "Vec");
        assert!(path.is_adapter());
        path.exit();
        path.exit();
        assert!(!path.is_adapter());
        assert_eq!(path.key(), "");
    }
}
