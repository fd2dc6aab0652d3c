//! A run on several devices.

use std::thread;

use burn::tensor::backend::BackendTypes;
use sd_kernels::TrainBackend;

use super::{
    Ended, Observer, Published,
    drive::{Build, Run},
};
use crate::{
    TrainError, Trainer,
    collective::{Group, check_copies},
};

impl Run<'_> {
    /// Makes the run with a peer on each device, on threads of their own. The first leads: it alone logs, validates and saves.
    pub(super) fn together<B: TrainBackend, T: Published<B>>(
        self,
        devices: &[<B as BackendTypes>::Device],
        observer: &mut dyn Observer,
        build: &Build<'_, B, T>,
    ) -> Result<Ended, TrainError> {
        check_copies::<B::InnerBackend>(devices)?;
        let group = Group::<B::InnerBackend>::new(devices.len());
        let ended = thread::scope(|scope| {
            for (index, device) in devices.iter().enumerate().skip(1) {
                let group = &group;
                scope.spawn(move || {
                    group.work(index, || match group.opened() {
                        true => self.follow(group, index, device, build),
                        false => Ok(()),
                    })
                });
            }
            group.work(0, || {
                let trainer = self.peer(&group, 0, &devices[0], build)?;
                self.lead(trainer, observer)
            })
        });
        ended.ok_or_else(|| group.into_failure())
    }

    /// The trainer of a peer, when all are ready.
    fn peer<B: TrainBackend, T: Published<B>>(
        self,
        group: &Group<B::InnerBackend>,
        index: usize,
        device: &<B as BackendTypes>::Device,
        build: &Build<'_, B, T>,
    ) -> Result<Trainer<B, T>, TrainError> {
        let options = self.file.train.clone();
        let mut trainer = Trainer::with_peers(build(device)?, options, group.peer(index))?;
        self.begin(&mut trainer)?;
        if index == 0 {
            // Only now: what the first has put down, the latents of the pictures, the others find there.
            group.open();
        }
        group.join(index, device)?;
        trainer.agree()?;
        Ok(trainer)
    }

    /// Makes the steps that the first makes.
    fn follow<B: TrainBackend, T: Published<B>>(
        self,
        group: &Group<B::InnerBackend>,
        index: usize,
        device: &<B as BackendTypes>::Device,
        build: &Build<'_, B, T>,
    ) -> Result<(), TrainError> {
        let mut trainer = self.peer(group, index, device, build)?;
        while trainer.step_index() < self.file.train.steps {
            trainer.step()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::toy::{self, B, Toy};

    /// The run of three peers with a loss that fails on one of them.
    fn fails(task: fn() -> Toy) -> (TrainError, Vec<std::path::PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        let (file, output) = toy::file(directory.path());
        let run = Run { file: &file, output: &output };
        let devices = [Default::default(); 3];
        let error = run.together::<B, _>(&devices, &mut (), &|_| Ok(task())).unwrap_err();
        (error, output.newest_state().unwrap().into_iter().collect())
    }

    /// Of six examples, each peer has two: this one is met by one of them.
    #[test]
    fn an_error_of_one_peer_ends_all() {
        let (error, states) = fails(|| {
            Toy::new(|share, weight| match share.step == 2 && share.examples.contains(&5) {
                true => Err(TrainError::part("toy", "no more")),
                false => Ok(weight),
            })
        });
        assert!(matches!(error, TrainError::Part { part: "toy", .. }), "{error}");
        assert!(states[0].ends_with("state-00000002.safetensors"), "{states:?}");
    }

    #[test]
    fn a_panic_of_one_peer_ends_all() {
        let (error, _) = fails(|| {
            Toy::new(|share, weight| match share.step == 1 && share.examples.contains(&5) {
                true => panic!("on purpose"),
                false => Ok(weight),
            })
        });
        assert!(matches!(error, TrainError::PeerPanicked { .. }), "{error}");
    }

    #[test]
    fn a_peer_that_cannot_begin_ends_all() {
        let directory = tempfile::tempdir().unwrap();
        let (file, output) = toy::file(directory.path());
        let run = Run { file: &file, output: &output };
        let built = std::sync::atomic::AtomicUsize::new(0);
        let build = |_: &_| match built.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            2 => Err(TrainError::part("toy", "no third")),
            _ => Ok(Toy::new(|_, weight| Ok(weight))),
        };
        let devices = [Default::default(); 3];
        let error = run.together::<B, _>(&devices, &mut (), &build).unwrap_err();
        assert!(error.to_string().contains("no third"), "{error}");
        // The servers are free for the next group.
        let build = |_: &_| Ok(Toy::new(|_, weight| Ok(weight)));
        let ended = run.together::<B, _>(&devices, &mut (), &build).unwrap();
        assert_eq!(ended, Ended::Finished);
    }
}
