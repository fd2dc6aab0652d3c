//! A kernel's source as a task of CubeCL's.

use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    fmt::{Debug, Write},
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use cubecl::{
    CompilationError, CubeCount, CubeDim, CubeTask, ExecutionMode, Info,
    client::ComputeClient,
    cuda::{CudaCompiler, CudaComputeKernel, CudaRuntime},
    ir::{ElemType, StorageType, UIntKind},
    server::{Binding, KernelArguments, MetadataBindingInfo, TensorMapBinding},
};
use cubecl_cpp::shared::{Body, Elem, Flags, Item, SharedMemory};
use cubecl_runtime::{
    id::KernelId,
    kernel::{CompiledKernel, KernelMetadata},
};

/// A source with its constants, and how it is launched.
#[derive(Debug)]
pub(super) struct Kernel {
    source: String,
    entry: &'static str,
    threads: u32,
    /// Bytes of shared memory.
    shared: usize,
    /// Of all of the above, by which CubeCL knows what it has compiled.
    hash: u64,
}

const COMMON: &str = include_str!("kernels/common.cuh");

/// Kernels by what they were made from.
static KERNELS: LazyLock<Mutex<HashMap<u64, Arc<Kernel>>>> = LazyLock::new(Mutex::default);

/// What a kernel is made from: a type whose debug form and hash tell all of its values apart.
pub(super) trait Recipe: Debug + Hash + 'static {
    /// `#define`s.
    fn constants(&self) -> Vec<(&'static str, usize)>;
    /// What is written by a program.
    fn instructions(&self) -> String;
    /// The text that follows.
    const TEXT: &'static str;
    /// Name of the function.
    fn entry(&self) -> &'static str;
    /// Threads of a block.
    fn threads(&self) -> u32;
    /// Bytes of shared memory of a block.
    fn shared(&self) -> usize;
}

impl Kernel {
    /// The kernel of a recipe, which is written once.
    pub(super) fn of<T: Recipe>(recipe: &T) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        std::any::TypeId::of::<T>().hash(&mut hasher);
        recipe.hash(&mut hasher);
        let mut kernels = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.entry(hasher.finish()).or_insert_with(|| Arc::new(Self::write(recipe))).clone()
    }

    fn write<T: Recipe>(recipe: &T) -> Self {
        let mut source = String::new();
        for (name, value) in recipe.constants() {
            // Writing to a string cannot fail.
            let _ = writeln!(source, "#define {name} {value}");
        }
        source += COMMON;
        source += &recipe.instructions();
        source += T::TEXT;
        let (entry, threads, shared) = (recipe.entry(), recipe.threads(), recipe.shared());
        let mut hasher = DefaultHasher::new();
        (&source, entry, threads, shared).hash(&mut hasher);
        Self { source, entry, threads, shared, hash: hasher.finish() }
    }

    /// The source as NVRTC gets it.
    #[cfg(test)]
    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

/// What a kernel is given, in the order of its parameters. Behind the maps there is one pointer for each, which kernels ignore.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) maps: Vec<TensorMapBinding>,
    pub(super) buffers: Vec<Binding>,
    /// Passed by value.
    pub(super) info: Vec<u64>,
}

/// Launches a kernel on Burn's stream.
pub(super) fn launch(
    client: &ComputeClient<CudaRuntime>,
    kernel: Arc<Kernel>,
    [x, y, z]: [usize; 3],
    arguments: Arguments,
) {
    let Arguments { maps, buffers, info } = arguments;
    // All of the information is of known length: where CubeCL thinks that there is more, it uploads it to a buffer.
    let length = info.len();
    let arguments = KernelArguments::new()
        .with_tensor_maps(maps)
        .with_buffers(buffers)
        .with_info(MetadataBindingInfo::new(info, length));
    let count = CubeCount::Static(x as u32, y as u32, z as u32);
    client.launch(Box::new(Task(kernel)), count, arguments);
}

struct Task(Arc<Kernel>);

impl KernelMetadata for Task {
    fn name(&self) -> &'static str {
        self.0.entry
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.hash).cube_dim(CubeDim::new_1d(self.0.threads))
    }

    fn address_type(&self) -> StorageType {
        StorageType::Scalar(ElemType::UInt(UIntKind::U32))
    }
}

impl CubeTask<CudaCompiler> for Task {
    fn compile(
        &self,
        _: &mut CudaCompiler,
        _: &<CudaCompiler as cubecl::Compiler>::CompilationOptions,
        _: ExecutionMode,
        _: StorageType,
    ) -> Result<CompiledKernel<CudaCompiler>, CompilationError> {
        let kernel = &self.0;
        Ok(CompiledKernel {
            entrypoint_name: kernel.entry.to_owned(),
            debug_name: Some(kernel.entry),
            source: kernel.source.clone(),
            repr: Some(representation(kernel)),
            cube_dim: CubeDim::new_1d(kernel.threads),
            debug_info: None,
        })
    }
}

/// Of which CubeCL reads how much shared memory there is, and nothing else.
fn representation(kernel: &Kernel) -> CudaComputeKernel {
    let bytes = Item::scalar(Elem::U8, false);
    let cube_dim = CubeDim::new_1d(kernel.threads);
    let memory = SharedMemory::Array {
        index: 0,
        item: bytes,
        length: kernel.shared,
        align: 1024,
        offset: 0,
    };
    CudaComputeKernel {
        tensor_maps: Vec::new(),
        buffers: Vec::new(),
        scalars: Vec::new(),
        info: Info {
            scalars: Vec::new(),
            sized_meta: None,
            has_dynamic_meta: false,
            dynamic_meta_offset: 0,
            metadata: cubecl::Metadata::new(0, 0),
        },
        meta_static_len: 0,
        body: Body {
            instructions: Vec::new(),
            shared_memories: vec![memory],
            pipelines: Vec::new(),
            barriers: Vec::new(),
            const_arrays: Vec::new(),
            local_arrays: Vec::new(),
            info_by_ptr: false,
            has_dynamic_meta: false,
            address_type: bytes,
        },
        cube_dim,
        cluster_dim: None,
        extensions: Vec::new(),
        flags: Flags {
            elem_fp4: false,
            elem_fp6: false,
            elem_fp8: false,
            elem_bf16: false,
            elem_f16: false,
            elem_tf32: false,
            indexes: Default::default(),
            op_barrier: false,
            op_pipeline: false,
            inst_tma: false,
            inst_tma_im2col: false,
            inst_wmma: false,
            inst_ptx_wrappers: false,
            inst_async_copy: false,
            use_grid_constants: true,
            static_meta_length: 0,
            has_dynamic_meta: false,
            has_info: false,
            cube_dim,
            cluster_dim: None,
            address_type: bytes,
        },
        items: HashSet::new(),
        kernel_name: kernel.entry.to_owned(),
    }
}
