//! Peers of one process, each on a thread of its own, that exchange rows through Burn's collective operations.
//!
//! What burn-collective 0.21 asks for is seen to here, and nowhere else:
//! - There is one server for each type of backend in a process: groups come one after the other.
//! - Who registers waits until all have, whatever happens to them: peers meet before they register. Who waits for a sum is let go
//!   by a reset: the first that ends, ends all.
//! - `broadcast` takes the tensor to be on the device of whichever peer called first: weights are agreed on by a sum, too.
//! - More than two peers on one device are added up in the order of a hash table: such runs differ in the last bits.

use std::{
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};
use burn_collective::{
    CollectiveConfig, CollectiveError, PeerId, ReduceOperation, all_reduce, register,
    reset_collective,
};

use crate::{Peers, TrainError};

/// Held by the group that the servers work for.
static SERVERS: Mutex<()> = Mutex::new(());

/// The peers of a run. The first of them leads: the others begin after it, and end with it.
pub(crate) struct Group<I: Backend> {
    count: usize,
    state: Mutex<State>,
    changed: Condvar,
    _servers: MutexGuard<'static, ()>,
    backend: PhantomData<fn() -> I>,
}

#[derive(Default)]
struct State {
    /// Whether the others may begin.
    open: bool,
    /// Peers that are ready to make steps.
    ready: usize,
    ended: bool,
    /// Why it ended, if not because it was done.
    failure: Option<TrainError>,
}

impl<I: Backend> Group<I> {
    /// A group of this many. Waits for the end of any other.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            state: Mutex::default(),
            changed: Condvar::new(),
            _servers: SERVERS.lock().unwrap_or_else(PoisonError::into_inner),
            backend: PhantomData,
        }
    }

    /// What a trainer of the group needs.
    pub(crate) fn peer(&self, index: usize) -> Box<dyn Peers<I>> {
        Box::new(Peer { index, count: self.count })
    }

    /// Does the work of a peer. An error or a panic of any, and the end of the first, end the group.
    pub(crate) fn work<R>(
        &self,
        index: usize,
        work: impl FnOnce() -> Result<R, TrainError>,
    ) -> Option<R> {
        let panicked = |_| Err(TrainError::PeerPanicked { index });
        match catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked) {
            Ok(done) => {
                if index == 0 {
                    self.end(None);
                }
                Some(done)
            }
            Err(error) => {
                self.end(Some(error));
                None
            }
        }
    }

    /// Lets the others begin.
    pub(crate) fn open(&self) {
        self.change(|state| state.open = true);
    }

    /// Waits until the first has opened the group; whether it has.
    pub(crate) fn opened(&self) -> bool {
        !self.wait(|state| state.open).ended
    }

    /// Waits until all are ready, and registers.
    pub(crate) fn join(&self, index: usize, device: &I::Device) -> Result<(), TrainError> {
        self.change(|state| state.ready += 1);
        if self.wait(|state| state.ready == self.count).ended {
            return Err(failed("another peer has ended"));
        }
        let config = CollectiveConfig::default().with_num_devices(self.count);
        register::<I>(PeerId::from(index), device.clone(), config).map_err(error)
    }

    /// Why the group ended.
    pub(crate) fn into_failure(self) -> TrainError {
        let failure = self.state().failure.take();
        failure.unwrap_or_else(|| failed("it ended without a reason"))
    }

    fn end(&self, failure: Option<TrainError>) {
        let mut first = false;
        self.change(|state| {
            if !state.ended {
                (state.ended, state.failure, first) = (true, failure, true);
            }
        });
        if first {
            reset_collective::<I>();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits for something, or the end.
    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let wait = self.changed.wait_while(self.state(), |state| !state.ended && !until(state));
        wait.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One peer, as its trainer knows it.
struct Peer {
    index: usize,
    count: usize,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {} of {}", self.index, self.count)
    }
}

impl<I: Backend> Peers<I> for Peer {
    fn index(&self) -> usize {
        self.index
    }

    fn count(&self) -> usize {
        self.count
    }

    fn sum(&self, row: Tensor<I, 1>) -> Result<Tensor<I, 1>, TrainError> {
        let row = row.into_primitive().tensor();
        let sum = all_reduce::<I>(PeerId::from(self.index), row, ReduceOperation::Sum);
        Ok(Tensor::from_primitive(TensorPrimitive::Float(sum.map_err(error)?)))
    }
}

fn error(error: CollectiveError) -> TrainError {
    failed(format!("{error:?}"))
}

fn failed(message: impl Into<String>) -> TrainError {
    TrainError::Exchange { message: message.into() }
}

/// Whether devices can exchange rows. From one CUDA device to another, CubeCL copies by NCCL, and panics without it.
///
/// # Errors
/// [`TrainError::NoNccl`]
#[cfg(feature = "cuda")]
pub(crate) fn check_copies<I: Backend>(devices: &[I::Device]) -> Result<(), TrainError> {
    use std::any::TypeId;

    let is_cuda = TypeId::of::<I>() == TypeId::of::<sd_core::backend::Cuda>();
    let several = devices.iter().any(|device| *device != devices[0]);
    // SAFETY: the function only tries to open a shared library by its well-known names.
    match is_cuda && several && !unsafe { cudarc::nccl::sys::is_culib_present() } {
        true => Err(TrainError::NoNccl),
        false => Ok(()),
    }
}

/// Whether devices can exchange rows: all but those of CUDA can.
#[cfg(not(feature = "cuda"))]
pub(crate) fn check_copies<I: Backend>(_: &[I::Device]) -> Result<(), TrainError> {
    Ok(())
}
