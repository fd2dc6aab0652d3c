//! The parameter that every weight of a layer is.

use std::sync::{PoisonError, RwLock};

use burn::{
    module::{
        AutodiffModule, Content, Devices, HasAutodiffModule, Module, ModuleDisplay,
        ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
    },
    tensor::{
        DType, Distribution, Shape, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};
use sd_kernels::{DiffusionBackend, Weight, WeightRole};

/// A weight that its backend may keep in a form of its own.
///
/// In the module tree it is one float parameter in checkpoint order. When it gets a value, at the latest at its first use, it is
/// handed to [`DiffusionBackend::pack_weight`], and a packed form takes the place of the dense tensor; both are in memory
/// meanwhile. Whatever changes the weight (a file, an optimiser, a merged LoRA) goes through `Module::map`, which packs the new
/// value: nothing stale can remain.
#[derive(Debug)]
pub struct WeightParam<B: Backend, const D: usize> {
    role: WeightRole,
    /// How the backend packs. Where it is not known to be one that does, values are packed at their first use.
    pack: Option<Pack<B, D>>,
    state: RwLock<State<B, D>>,
}

type Pack<B, const D: usize> = fn(Tensor<B, D>, WeightRole) -> Weight<B, D>;

#[derive(Debug)]
enum State<B: Backend, const D: usize> {
    /// Not offered to the backend yet.
    Fresh(Param<Tensor<B, D>>),
    /// The backend reads it as it is, or it is being trained.
    Dense(Param<Tensor<B, D>>),
    /// In the backend's own form.
    Packed { id: ParamId, weight: Weight<B, D>, device: B::Device },
}

impl<B: Backend, const D: usize> State<B, D> {
    fn into_param(self) -> Param<Tensor<B, D>> {
        match self {
            Self::Fresh(param) | Self::Dense(param) => param,
            Self::Packed { id, weight, device } => Param::initialized(id, weight.to_dense(&device)),
        }
    }
}

impl<B: Backend, const D: usize> WeightParam<B, D> {
    /// A weight that is there already.
    pub fn from_param(param: Param<Tensor<B, D>>, role: WeightRole) -> Self {
        Self { role, pack: None, state: RwLock::new(State::Fresh(param)) }
    }

    /// What the weight is for.
    pub fn role(&self) -> WeightRole {
        self.role
    }

    /// Shape in checkpoint order; initialises nothing.
    pub fn dims(&self) -> [usize; D] {
        match &*self.read() {
            State::Fresh(param) | State::Dense(param) => {
                let shape = param.lazy_shape();
                core::array::from_fn(|axis| shape[axis])
            }
            State::Packed { weight, .. } => weight.dims(),
        }
    }

    /// The weight as a tensor in checkpoint order, unpacked when it has to be.
    pub fn dense(&self) -> Tensor<B, D> {
        match &*self.read() {
            State::Fresh(param) | State::Dense(param) => param.val(),
            State::Packed { weight, device, .. } => weight.to_dense(device),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State<B, D>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same weight with another value.
    fn changed(self, change: impl FnOnce(Param<Tensor<B, D>>) -> Param<Tensor<B, D>>) -> Self {
        let (role, pack) = (self.role, self.pack);
        let param = change(self.into_param());
        let is_there = param.is_initialized();
        let weight = Self { role, pack, state: RwLock::new(State::Fresh(param)) };
        if let Some(pack) = pack.filter(|_| is_there) {
            weight.get_or_pack(pack);
        }
        weight
    }

    fn into_param(self) -> Param<Tensor<B, D>> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).into_param()
    }
}

impl<B: DiffusionBackend, const D: usize> WeightParam<B, D> {
    /// A weight of `shape` that is drawn from `U(-1/√fan_in, 1/√fan_in)`, as PyTorch initialises linear layers and
    /// convolutions, should nothing replace it before its first use.
    pub fn uniform(shape: [usize; D], fan_in: usize, role: WeightRole, device: &B::Device) -> Self {
        let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
        Self::lazy(shape, Distribution::Uniform(-bound, bound), role, device)
    }

    /// A weight of `shape` that is drawn from a distribution, in f32, should nothing replace it before its first use.
    pub fn lazy(
        shape: [usize; D],
        distribution: Distribution,
        role: WeightRole,
        device: &B::Device,
    ) -> Self {
        let init = move |device: &B::Device, require_grad: bool| {
            Tensor::random(shape, distribution, (device, DType::F32)).set_require_grad(require_grad)
        };
        let param =
            Param::uninitialized(ParamId::new(), init, device.clone(), true, Shape::new(shape));
        Self { role, pack: Some(B::pack_weight), state: RwLock::new(State::Fresh(param)) }
    }

    /// The weight in the form that its backend reads fastest.
    pub fn get(&self) -> Weight<B, D> {
        self.get_or_pack(B::pack_weight)
    }
}

impl<B: Backend, const D: usize> WeightParam<B, D> {
    /// `pack` runs outside of the lock: it may use a thread pool, whose tasks may use this weight, and it may panic, which
    /// leaves everything as it was. Threads that come at the same time may each pack; the first one's form is kept, and all
    /// get that.
    fn get_or_pack(
        &self,
        pack: impl FnOnce(Tensor<B, D>, WeightRole) -> Weight<B, D>,
    ) -> Weight<B, D> {
        let (id, tensor) = match &*self.read() {
            State::Fresh(param) => (param.id, param.val()),
            State::Dense(param) => return Weight::Dense(param.val()),
            State::Packed { weight, .. } => return weight.clone(),
        };
        let device = tensor.device();
        let weight = match tensor.is_require_grad() {
            true => Weight::Dense(tensor),
            false => pack(tensor, self.role),
        };
        let settled = match weight.clone() {
            Weight::Dense(tensor) => State::Dense(Param::initialized(id, tensor)),
            weight => State::Packed { id, weight, device },
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Fresh(_) => {}
            State::Dense(param) => return Weight::Dense(param.val()),
            State::Packed { weight, .. } => return weight.clone(),
        }
        let fresh = std::mem::replace(&mut *state, settled);
        drop(state);
        drop(fresh);
        weight
    }
}

impl<B: Backend, const D: usize> Clone for WeightParam<B, D> {
    fn clone(&self) -> Self {
        let state = match &*self.read() {
            State::Fresh(param) => State::Fresh(param.clone()),
            State::Dense(param) => State::Dense(param.clone()),
            State::Packed { id, weight, device } => {
                State::Packed { id: *id, weight: weight.clone(), device: device.clone() }
            }
        };
        Self { role: self.role, pack: self.pack, state: RwLock::new(state) }
    }
}

impl<B: Backend, const D: usize> Module<B> for WeightParam<B, D> {
    type Record = <Param<Tensor<B, D>> as Module<B>>::Record;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        match &*self.read() {
            State::Fresh(param) | State::Dense(param) => param.collect_devices(devices),
            State::Packed { device, .. } if devices.contains(device) => devices,
            State::Packed { device, .. } => [devices, vec![device.clone()]].concat(),
        }
    }

    fn fork(self, device: &B::Device) -> Self {
        self.changed(|param| param.fork(device))
    }

    fn to_device(self, device: &B::Device) -> Self {
        self.changed(|param| param.to_device(device))
    }

    fn visit<Visitor: ModuleVisitor<B>>(&self, visitor: &mut Visitor) {
        match &*self.read() {
            State::Fresh(param) | State::Dense(param) => visitor.visit_float(param),
            State::Packed { id, weight, device } => {
                visitor.visit_float(&Param::initialized(*id, weight.to_dense(device)));
            }
        }
    }

    fn map<Mapper: ModuleMapper<B>>(self, mapper: &mut Mapper) -> Self {
        self.changed(|param| mapper.map_float(param))
    }

    fn load_record(self, record: Self::Record) -> Self {
        self.changed(|param| param.load_record(record))
    }

    fn into_record(self) -> Self::Record {
        self.into_param().into_record()
    }
}

impl<B: AutodiffBackend, const D: usize> AutodiffModule<B> for WeightParam<B, D> {
    type InnerModule = WeightParam<B::InnerBackend, D>;

    fn valid(&self) -> Self::InnerModule {
        let param = match &*self.read() {
            State::Fresh(param) | State::Dense(param) => param.valid(),
            State::Packed { id, weight, device } => {
                Param::initialized(*id, weight.to_dense(device)).valid()
            }
        };
        WeightParam::from_param(param, self.role)
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        let role = module.role;
        Self::from_param(AutodiffModule::from_inner(module.into_param()), role)
    }
}

impl<B: AutodiffBackend, const D: usize> HasAutodiffModule<B> for WeightParam<B::InnerBackend, D> {
    type TrainModule = WeightParam<B, D>;
}

impl<B: Backend, const D: usize> ModuleDisplayDefault for WeightParam<B, D> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{:?} {:?}", self.role, self.dims())).optional()
    }
}

impl<B: Backend, const D: usize> ModuleDisplay for WeightParam<B, D> {}

#[cfg(test)]
mod tests;
