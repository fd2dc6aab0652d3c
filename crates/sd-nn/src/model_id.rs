//! The identity of a model's weights.

use std::marker::PhantomData;

use burn::{
    module::{
        AutodiffModule, Content, Devices, EmptyRecord, HasAutodiffModule, Module, ModuleDisplay,
        ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    },
    tensor::backend::{AutodiffBackend, Backend},
};
use sd_kernels::CaptureKey;

/// The number under which a model's forward pass is captured ([`CaptureKey::model`]).
///
/// It is a part of the module tree without parameters, so that whatever changes weights through the tree (a file, an
/// optimiser, a merged LoRA, a move to another device) changes the number, too. A clone has its own: it may pack its weights
/// anew, and a recording must not outlive what it reads. Who changes a layer by reference calls [`renew`](Self::renew).
#[derive(Debug)]
pub struct ModelId<B: Backend> {
    number: u64,
    backend: PhantomData<B>,
}

impl<B: Backend> ModelId<B> {
    /// A number that no other model has.
    pub fn new() -> Self {
        Self { number: CaptureKey::new_model(), backend: PhantomData }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.number
    }

    /// Takes a new number.
    pub fn renew(&mut self) {
        *self = Self::new();
    }
}

impl<B: Backend> Clone for ModelId<B> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<B: Backend> Default for ModelId<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Backend> Module<B> for ModelId<B> {
    type Record = EmptyRecord;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        devices
    }

    fn fork(self, _device: &B::Device) -> Self {
        Self::new()
    }

    fn to_device(self, _device: &B::Device) -> Self {
        Self::new()
    }

    fn visit<Visitor: ModuleVisitor<B>>(&self, _visitor: &mut Visitor) {}

    fn map<Mapper: ModuleMapper<B>>(self, _mapper: &mut Mapper) -> Self {
        Self::new()
    }

    fn load_record(self, _record: Self::Record) -> Self {
        Self::new()
    }

    fn into_record(self) -> Self::Record {
        EmptyRecord::new()
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for ModelId<B> {
    type InnerModule = ModelId<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        ModelId::new()
    }

    fn from_inner(_module: Self::InnerModule) -> Self {
        Self::new()
    }
}

impl<B: AutodiffBackend> HasAutodiffModule<B> for ModelId<B::InnerBackend> {
    type TrainModule = ModelId<B>;
}

impl<B: Backend> ModuleDisplayDefault for ModelId<B> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.number).optional()
    }
}

impl<B: Backend> ModuleDisplay for ModelId<B> {}

#[cfg(test)]
mod tests {
    use super::*;

    type B = burn_ndarray::NdArray<f32>;

    struct Unchanged;
    impl ModuleMapper<B> for Unchanged {}

    #[test]
    fn mapping_and_cloning_take_new_numbers() {
        let id = ModelId::<B>::new();
        let (number, clone) = (id.get(), id.clone());
        assert_eq!(id.get(), number);
        assert_ne!(clone.get(), number);
        assert_ne!(id.map(&mut Unchanged).get(), number);
    }
}
