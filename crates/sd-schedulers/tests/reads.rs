//! A step reads nothing from the device, dynamic thresholding excepted.

#![allow(clippy::unwrap_used)]

use burn_tensor::Tensor;
use sd_kernels::testing::{Counting, count_launches};
use sd_schedulers::{
    PlanRequest, Run, Sampler, Scheduler, SchedulerConfig, SchedulerKind, TorchCpuGenerator,
};

/// Reads from the device during a whole run.
fn reads(scheduler: &dyn Scheduler, steps: usize) -> (usize, usize) {
    let plan = scheduler.plan(&PlanRequest::new(steps).eta(0.5)).unwrap();
    let mut generator = TorchCpuGenerator::new(0);
    let launches = count_launches(|| {
        let latents = Tensor::<Counting, 4>::zeros([1, 4, 2, 3], &Default::default());
        let mut run = Run::new(&plan, latents);
        while let Some(evaluation) = run.evaluation() {
            run.advance(evaluation.input * 0.5, &mut generator).unwrap();
        }
        assert_eq!(run.index(), steps);
    });
    assert!(!launches.stray.is_empty());
    let reads = launches.stray.iter().filter(|launch| launch.contains("read")).count();
    (reads, plan.timesteps().len())
}

#[test]
fn no_step_reads_from_the_device() {
    for sampler in Sampler::ALL {
        let config = SchedulerConfig::new("").with("clip_sample", false);
        let scheduler = SchedulerKind::new(*sampler).with_config_of(&config).unwrap();
        assert_eq!(reads(&*scheduler, 8).0, 0, "{sampler:?}");
    }
}

#[test]
fn dynamic_thresholding_reads_once_an_evaluation() {
    let config = SchedulerConfig::new("DPMSolverMultistepScheduler").with("thresholding", true);
    assert_eq!(reads(&*config.build().unwrap(), 8), (8, 8));
}
