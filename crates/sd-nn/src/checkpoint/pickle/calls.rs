//! Calls that checkpoints are made of: what they describe is noted down, and no function runs.

use std::sync::Arc;

use safetensors::Dtype;

use super::{
    Node, NodeId, PickleProblem, RawTensor, Storage,
    globals::{is_opaque, storage_dtype, torch_dtype},
    machine::Machine,
};

/// Tensors of one pickle.
const MAX_TENSORS: u64 = 1 << 17;

/// Longest key of a storage, in bytes. Files have numbers there.
pub(crate) const MAX_KEY: usize = 512;

/// Dimensions of a tensor.
const MAX_RANK: usize = 16;

const PARAMETER_DICT: &str = "torch.nn.modules.container.ParameterDict";

impl Machine<'_> {
    pub(super) fn forbidden(&self, name: &str) -> PickleProblem {
        PickleProblem::Forbidden { name: name.into(), offset: self.offset }
    }

    /// What calling a function, or making an object of a class, gives.
    pub(super) fn call(
        &mut self,
        function: NodeId,
        arguments: NodeId,
    ) -> Result<NodeId, PickleProblem> {
        let Node::Global(name) = self.node(function) else {
            return Err(self.unexpected("a function", function));
        };
        let shared = Arc::clone(name);
        let arguments = self.tuple(arguments)?;
        match &*shared {
            "collections.OrderedDict" => self.ordered_dict(&arguments),
            "torch.Size" => self.size(&arguments),
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                let tensor = self.argument(&arguments, 0)?;
                match self.node(tensor) {
                    Node::Tensor(_) => Ok(tensor),
                    _ => Err(self.unexpected("a tensor", tensor)),
                }
            }
            "torch._tensor._rebuild_from_type_v2" => self.rebuilt(&arguments),
            name if is_tensor_function(name) => self.tensor(name, &arguments),
            name if is_opaque(name) || name == PARAMETER_DICT => {
                // The name that is there: a copy for each call would make gigabytes of a small file.
                self.add(Node::Opaque(Arc::clone(&shared)))
            }
            name => Err(self.forbidden(name)),
        }
    }

    /// Gives an object its attributes. Only weights in a module of their own are of use.
    pub(super) fn set_state(&mut self, target: NodeId, state: NodeId) -> Result<(), PickleProblem> {
        match self.node(target) {
            Node::Opaque(class) if **class == *PARAMETER_DICT => {
                let searched =
                    if let Node::Dict(pairs) = self.node(state) { pairs.len() } else { 0 };
                self.charge(searched)?;
                if let Some(parameters) = self.entry(state, "_parameters")
                    && let Node::Dict(dict) = self.node(parameters)
                {
                    let dict = dict.clone();
                    self.charge(dict.len())?;
                    self.nodes[target as usize] = Node::Dict(dict);
                }
                Ok(())
            }
            Node::Opaque(_) | Node::Dict(_) | Node::Tensor(_) => Ok(()),
            Node::Global(name) => Err(self.forbidden(name)),
            _ => Err(self.unexpected("an object", target)),
        }
    }

    fn entry(&self, dict: NodeId, key: &str) -> Option<NodeId> {
        let Node::Dict(pairs) = self.node(dict) else { return None };
        let is_key = |id: NodeId| matches!(self.node(id), Node::Text(text) if **text == *key);
        pairs.iter().find(|(id, _)| is_key(*id)).map(|(_, value)| *value)
    }

    fn ordered_dict(&mut self, arguments: &[NodeId]) -> Result<NodeId, PickleProblem> {
        let Some(&items) = arguments.first() else { return self.add(Node::Dict(Vec::new())) };
        let Node::List(items) = self.node(items) else {
            return Err(self.unexpected("a list of pairs", items));
        };
        let items = items.clone();
        self.charge(items.len())?;
        let mut dict = Vec::with_capacity(items.len());
        for item in items {
            let pair = match self.node(item) {
                Node::Tuple(pair) => pair,
                Node::List(pair) => pair.as_slice(),
                _ => &[],
            };
            match *pair {
                [key, value] => dict.push((key, value)),
                _ => return Err(self.unexpected("a pair", item)),
            }
        }
        self.add(Node::Dict(dict))
    }

    fn size(&mut self, arguments: &[NodeId]) -> Result<NodeId, PickleProblem> {
        let sizes = self.argument(arguments, 0)?;
        let sizes = self.tuple(sizes)?;
        self.add(Node::Tuple(sizes))
    }

    /// `(function, type, arguments, state)`: a tensor of another class, or with attributes.
    fn rebuilt(&mut self, arguments: &[NodeId]) -> Result<NodeId, PickleProblem> {
        let function = self.argument(arguments, 0)?;
        match self.node(function) {
            Node::Global(name) if is_tensor_function(name) => {
                let name = name.clone();
                let arguments = self.argument(arguments, 2)?;
                let arguments = self.tuple(arguments)?;
                self.tensor(&name, &arguments)
            }
            Node::Global(name) => Err(self.forbidden(name)),
            _ => Err(self.unexpected("a function", function)),
        }
    }

    /// `(storage, offset, size, stride, …)`; version 3 names the element type in the sixth place after that.
    fn tensor(&mut self, name: &str, arguments: &[NodeId]) -> Result<NodeId, PickleProblem> {
        self.tensors += 1;
        if self.tensors > MAX_TENSORS {
            return Err(PickleProblem::TooMuch { what: "tensors", limit: MAX_TENSORS });
        }
        let storage = self.argument(arguments, 0)?;
        let Node::Storage(storage) = self.node(storage) else {
            return Err(self.unexpected("a storage", storage));
        };
        let storage = storage.clone();
        let dtype = match name.ends_with("_v3") {
            true => self.dtype(self.argument(arguments, 6)?)?,
            false => storage.dtype,
        };
        let offset = self.unsigned(self.argument(arguments, 1)?)?;
        let shape = self.dimensions(self.argument(arguments, 2)?)?;
        let strides = self.dimensions(self.argument(arguments, 3)?)?;
        self.add(Node::Tensor(Box::new(RawTensor { storage, dtype, offset, shape, strides })))
    }

    /// `("storage", class, key, location, count)`, in old files with `None` or `(key, offset, count)` of a view behind it.
    pub(super) fn storage(&mut self, id: NodeId) -> Result<Storage, PickleProblem> {
        let id = self.tuple(id)?;
        let kind = self.argument(&id, 0)?;
        if !matches!(self.node(kind), Node::Text(kind) if **kind == *"storage") {
            return Err(self.unexpected("a reference to a storage", kind));
        }
        let class = self.argument(&id, 1)?;
        let Node::Global(name) = self.node(class) else {
            return Err(self.unexpected("a class of storages", class));
        };
        let dtype =
            storage_dtype(name).ok_or_else(|| self.unexpected("a class of storages", class))?;
        let key = self.argument(&id, 2)?;
        let Node::Text(key_text) = self.node(key) else {
            return Err(self.unexpected("the key of a storage", key));
        };
        if key_text.len() > MAX_KEY {
            let what = "bytes in the key of a storage";
            return Err(PickleProblem::TooMuch { what, limit: MAX_KEY as u64 });
        }
        let key = key_text.clone();
        let whole = self.unsigned(self.argument(&id, 4)?)?;
        let (offset, count) = match id.get(5).map(|&view| (view, self.node(view))) {
            Some((view, Node::Tuple(_))) => {
                let view = self.tuple(view)?;
                let number = |at| self.unsigned(self.argument(&view, at)?);
                (number(1)?, number(2)?)
            }
            _ => (0, whole),
        };
        Ok(Storage { key, dtype, offset, count })
    }

    fn dtype(&self, id: NodeId) -> Result<Dtype, PickleProblem> {
        match self.node(id) {
            Node::Global(name) => torch_dtype(name),
            _ => None,
        }
        .ok_or_else(|| self.unexpected("an element type", id))
    }

    fn dimensions(&self, id: NodeId) -> Result<Vec<u64>, PickleProblem> {
        let Node::Tuple(items) = self.node(id) else {
            return Err(self.unexpected("a tuple of sizes", id));
        };
        if items.len() > MAX_RANK {
            return Err(PickleProblem::TooMuch { what: "dimensions", limit: MAX_RANK as u64 });
        }
        items.iter().map(|&item| self.unsigned(item)).collect()
    }

    fn unsigned(&self, id: NodeId) -> Result<u64, PickleProblem> {
        match self.node(id) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
        .ok_or_else(|| self.unexpected("a number from 0", id))
    }

    fn argument(&self, arguments: &[NodeId], at: usize) -> Result<NodeId, PickleProblem> {
        arguments.get(at).copied().ok_or(PickleProblem::Unexpected {
            offset: self.offset,
            expected: "more arguments",
            found: format!("{}", arguments.len()),
        })
    }

    /// The items of a tuple, at the cost of copying them.
    fn tuple(&mut self, id: NodeId) -> Result<Box<[NodeId]>, PickleProblem> {
        let Node::Tuple(items) = self.node(id) else {
            return Err(self.unexpected("a tuple", id));
        };
        let items = items.clone();
        self.charge(items.len())?;
        Ok(items)
    }
}

/// Whether a function describes a tensor on a storage.
fn is_tensor_function(name: &str) -> bool {
    matches!(
        name,
        "torch._utils._rebuild_tensor"
            | "torch._utils._rebuild_tensor_v2"
            | "torch._utils._rebuild_tensor_v3"
    )
}
