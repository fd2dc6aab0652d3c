//! Runs that begin later, are broken off, or visit a timestep twice.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn_ndarray::NdArray;
use burn_tensor::{Tensor, TensorData};
use sd_schedulers::{
    HostRun, IntervalNoise, NoiseGenerator, Plan, PlanError, PlanRequest, Run, RunError, RunState,
    Sampler, Scheduler, SchedulerConfig, SchedulerKind, TorchCpuGenerator,
};

fn scheduler(sampler: Sampler) -> Box<dyn Scheduler> {
    let config = SchedulerConfig::new("").with("clip_sample", false);
    SchedulerKind::new(sampler).with_config_of(&config).unwrap()
}

fn model(input: &[f64], timestep: f64) -> Vec<f64> {
    input.iter().map(|x| 0.3 * x * (timestep / 100.0).cos() + 0.1).collect()
}

/// Goes on to the end, or for so many evaluations.
fn go_on(run: &mut HostRun, noise: &mut dyn NoiseGenerator, evaluations: usize) {
    for _ in 0..evaluations {
        let Some((input, evaluation)) = run.evaluation() else { return };
        run.advance(model(&input, evaluation.timestep), noise).unwrap();
    }
}

fn start(plan: &Plan) -> Vec<f64> {
    [0.9, -1.3, 0.2].map(|value| value * plan.init_noise_sigma()).to_vec()
}

#[test]
fn a_saved_run_goes_on_as_if_it_had_not_been_broken_off() {
    for sampler in Sampler::ALL {
        let plan = scheduler(*sampler).plan(&PlanRequest::new(9).eta(0.5)).unwrap();
        let evaluations = plan.timesteps().len();
        let mut unbroken = HostRun::new(&plan, start(&plan));
        go_on(&mut unbroken, &mut TorchCpuGenerator::new(3), evaluations);
        for broken_off in 0..=evaluations {
            let mut noise = TorchCpuGenerator::new(3);
            let mut run = HostRun::new(&plan, start(&plan));
            go_on(&mut run, &mut noise, broken_off);
            let text = serde_json::to_string(&run.save()).unwrap();
            let state: RunState<f64> = serde_json::from_str(&text).unwrap();
            let mut resumed = HostRun::resume(&plan, state).unwrap();
            assert_eq!(resumed.index(), run.index());
            go_on(&mut resumed, &mut noise, evaluations);
            assert_eq!(resumed.latents(), unbroken.latents(), "{sampler:?} after {broken_off}");
            assert_eq!(resumed.save(), unbroken.save(), "{sampler:?} after {broken_off}");
        }
    }
}

#[test]
fn tensors_are_saved_and_go_on_too() {
    type Backend = NdArray<f32>;
    let plan = scheduler(Sampler::UniPc).plan(&PlanRequest::new(6)).unwrap();
    let (device, shape) = (Default::default(), [1, 3]);
    let latents: Vec<f32> = start(&plan).into_iter().map(|value| value as f32).collect();
    let mut run =
        Run::<Backend, 2>::new(&plan, Tensor::from_data(TensorData::new(latents, shape), &device));
    let step = |run: &mut Run<Backend, 2>| {
        let evaluation = run.evaluation().unwrap();
        let output = evaluation.input * 0.3 + 0.1;
        run.advance(output, &mut TorchCpuGenerator::new(0)).unwrap();
    };
    (0..3).for_each(|_| step(&mut run));
    let state = run.save().unwrap();
    let mut resumed = Run::<Backend, 2>::resume(&plan, state.clone(), shape, &device).unwrap();
    for _ in 0..3 {
        step(&mut run);
        step(&mut resumed);
    }
    assert_eq!(run.save().unwrap(), resumed.save().unwrap());
    assert!(resumed.evaluation().is_none());
    // states that fit no run of this kind
    let resume = |state: RunState, shape| Run::<Backend, 2>::resume(&plan, state, shape, &device);
    assert!(matches!(resume(state.clone(), [2, 3]), Err(RunError::Shape { .. })));
    let longer = RunState { evaluations: 7, ..state.clone() };
    assert!(matches!(resume(longer, shape), Err(RunError::Finished { .. })));
    let mut torn = state;
    torn.denoised = Some(vec![0.0]);
    assert!(matches!(resume(torn, shape), Err(RunError::Shape { .. })));
}

/// Samplers that know nothing of earlier steps.
const MEMORYLESS: &[Sampler] = &[
    Sampler::Ddim,
    Sampler::Ddpm,
    Sampler::Euler,
    Sampler::EulerAncestral,
    Sampler::Heun,
    Sampler::Dpm2,
    Sampler::Dpm2Ancestral,
    Sampler::DpmPlusPlus2SAncestral,
    Sampler::DpmPlusPlusSde,
    Sampler::EulerCfgPlusPlus,
    Sampler::Lcm,
    Sampler::Tcd,
    Sampler::EdmEuler,
    Sampler::FlowEuler,
    Sampler::FlowHeun,
    Sampler::FlowLcm,
];

#[test]
fn a_run_that_begins_later_is_the_rest_of_the_whole_run() {
    for sampler in MEMORYLESS {
        let scheduler = scheduler(*sampler);
        let request = PlanRequest::new(7).eta(0.5);
        let plan = scheduler.plan(&request).unwrap();
        let mut whole = HostRun::new(&plan, start(&plan));
        let mut noise = TorchCpuGenerator::new(3);
        let mut steps = Vec::new();
        loop {
            steps.push((whole.latents().to_vec(), noise.clone()));
            let index = whole.index();
            while whole.index() == index && whole.evaluation().is_some() {
                go_on(&mut whole, &mut noise, 1);
            }
            if whole.evaluation().is_none() {
                break;
            }
        }
        assert_eq!(steps.len(), 7);
        for (begin, (latents, mut noise)) in steps.into_iter().enumerate() {
            let plan = scheduler.plan(&request.clone().begin(begin)).unwrap();
            let mut rest = HostRun::new(&plan, latents);
            go_on(&mut rest, &mut noise, usize::MAX);
            assert_eq!(rest.latents(), whole.latents(), "{sampler:?} from {begin}");
        }
    }
}

// Multistep methods start anew: their first step is that of a run of one step between the same levels.
#[test]
fn every_sampler_begins_anywhere() {
    for sampler in Sampler::ALL {
        let scheduler = scheduler(*sampler);
        for begin in 0..25 {
            let plan = scheduler.plan(&PlanRequest::new(25).begin(begin)).unwrap();
            assert_eq!(
                (plan.steps(), plan.sigmas().len()),
                (25 - begin, plan.timesteps().len() + 1)
            );
            let mut run = HostRun::new(&plan, start(&plan));
            go_on(&mut run, &mut TorchCpuGenerator::new(3), usize::MAX);
            assert_eq!(run.index(), 25 - begin);
            assert!(run.latents().iter().all(|value| value.is_finite()), "{sampler:?} {begin}");
        }
    }
}

#[test]
fn a_timestep_visited_twice_changes_nothing_or_is_refused() {
    let twice = [900.0, 500.0, 500.0, 120.0];
    let once = [900.0, 500.0, 120.0];
    let end = |sampler: Sampler, timesteps: &[f64]| -> Result<Vec<f64>, PlanError> {
        let plan = scheduler(sampler).plan(&PlanRequest::new(1).timesteps(timesteps.to_vec()))?;
        let mut run = HostRun::new(&plan, start(&plan));
        go_on(&mut run, &mut TorchCpuGenerator::new(3), usize::MAX);
        Ok(run.latents().to_vec())
    };
    for sampler in [Sampler::Euler, Sampler::Heun, Sampler::Dpm2, Sampler::EulerCfgPlusPlus] {
        let (twice, once) = (end(sampler, &twice).unwrap(), end(sampler, &once).unwrap());
        for (twice, once) in twice.iter().zip(&once) {
            assert!((twice - once).abs() < 1e-12, "{sampler:?}");
        }
    }
    // a step of no length leaves the latents, and the one after it is of the first order
    for sampler in [
        Sampler::DpmPlusPlus2M,
        Sampler::DpmPlusPlus3M,
        Sampler::DpmPlusPlus3S,
        Sampler::UniPc,
        Sampler::UniPcBh1,
        Sampler::Deis,
        Sampler::SaSolver,
    ] {
        let timesteps = vec![900.0, 500.0, 500.0, 500.0, 120.0, 60.0, 20.0];
        let plan = scheduler(sampler).plan(&PlanRequest::new(1).timesteps(timesteps)).unwrap();
        let mut run = HostRun::new(&plan, start(&plan));
        let mut noise = TorchCpuGenerator::new(3);
        // the first step of no length is where correctors mend the step before
        go_on(&mut run, &mut noise, 2);
        let before = run.latents().to_vec();
        go_on(&mut run, &mut noise, 1);
        for (after, before) in run.latents().iter().zip(&before) {
            assert!((after - before).abs() < 1e-12, "{sampler:?}: {after} {before}");
        }
        go_on(&mut run, &mut noise, usize::MAX);
        assert!(run.latents().iter().all(|value| value.is_finite()), "{sampler:?}");
    }
    // no slope can be taken over a step of no length
    let error = end(Sampler::Lms, &twice).unwrap_err();
    assert!(matches!(error, PlanError::NotFinite { .. }), "{error}");
    // and a posterior of no step has no meaning
    for sampler in [Sampler::Ddpm, Sampler::Lcm, Sampler::Tcd] {
        assert!(matches!(end(sampler, &twice), Err(PlanError::CustomOrder { .. })), "{sampler:?}");
    }
    for sampler in [Sampler::Ddim, Sampler::Pndm, Sampler::Ipndm, Sampler::Restart] {
        assert!(matches!(end(sampler, &once), Err(PlanError::NoCustom { .. })), "{sampler:?}");
    }
}

/// The increment of a motion that goes up evenly, and lengths that do not fit.
#[derive(Debug)]
struct Even(usize);

impl IntervalNoise for Even {
    fn noise(&self, sigma: f64, sigma_next: f64) -> Vec<f32> {
        assert!(0.0 < sigma_next && sigma_next < sigma);
        vec![(sigma - sigma_next).sqrt() as f32; self.0]
    }
}

#[test]
fn stochastic_samplers_take_noise_by_intervals() {
    for sampler in [
        Sampler::DpmPlusPlusSde,
        Sampler::DpmPlusPlus2MSde,
        Sampler::DpmPlusPlus3MSde,
        Sampler::SaSolver,
    ] {
        let plan = scheduler(sampler).plan(&PlanRequest::new(9)).unwrap();
        let [least, most] = plan.noise_range().unwrap();
        assert!(least > 0.0 && (most / plan.sigmas()[0] - 1.0).abs() < 1e-12, "{sampler:?}");
        let end = |seed: u64| {
            let mut run = HostRun::new(&plan, start(&plan)).with_interval_noise(Arc::new(Even(3)));
            go_on(&mut run, &mut TorchCpuGenerator::new(seed), usize::MAX);
            run.latents().to_vec()
        };
        // the generator has no say
        assert_eq!(end(1), end(2), "{sampler:?}");
        let mut run = HostRun::new(&plan, start(&plan)).with_interval_noise(Arc::new(Even(2)));
        let before = run.save();
        for _ in 0..2 {
            let error = run.advance(vec![0.0; 3], &mut TorchCpuGenerator::new(0));
            assert_eq!(error, Err(RunError::Noise { expected: 3, found: 2 }));
            assert_eq!((run.save(), run.index()), (before.clone(), 0), "{sampler:?}");
        }
        // the same run goes on with a source that fits
        let mut mended = run.with_interval_noise(Arc::new(Even(3)));
        go_on(&mut mended, &mut TorchCpuGenerator::new(1), usize::MAX);
        assert_eq!((mended.latents(), mended.index()), (&end(1)[..], 9), "{sampler:?}");
    }
    assert_eq!(
        scheduler(Sampler::EulerAncestral).plan(&PlanRequest::new(9)).unwrap().noise_range(),
        None
    );
}

/// diffusers takes the ends of all sigmas, and a Brownian motion over another range is another one.
#[test]
fn noise_reaches_over_the_whole_schedule_wherever_a_run_begins() {
    for sampler in [Sampler::DpmPlusPlusSde, Sampler::DpmPlusPlus3MSde] {
        let scheduler = scheduler(sampler);
        let whole = scheduler.plan(&PlanRequest::new(9)).unwrap();
        let [first, .., last, zero] = whole.sigmas() else { panic!("{sampler:?}") };
        assert_eq!((whole.noise_range(), *zero), (Some([*last, *first]), 0.0), "{sampler:?}");
        let part = scheduler.plan(&PlanRequest::new(9).begin(5)).unwrap();
        assert!(part.sigmas()[0] < *first, "{sampler:?}");
        assert_eq!(part.noise_range(), whole.noise_range(), "{sampler:?}");
    }
}

#[test]
fn custom_schedules_and_rules_exclude_each_other() {
    let karras = SchedulerKind::DpmPlusPlus2MKarras.default_scheduler().unwrap();
    let error = karras.plan(&PlanRequest::new(1).timesteps(vec![900.0, 100.0])).unwrap_err();
    assert!(error.to_string().contains("sigma schedule karras"), "{error}");
    // custom sigmas are what the rule would have placed
    assert!(karras.plan(&PlanRequest::new(1).sigmas(vec![9.0, 1.0, 0.0])).is_ok());
    let dynamic = SchedulerConfig::new("FlowMatchEulerDiscreteScheduler")
        .with("use_dynamic_shifting", true)
        .build()
        .unwrap();
    assert_eq!(dynamic.plan(&PlanRequest::new(4)).unwrap_err(), PlanError::DynamicShift);
    assert!(dynamic.plan(&PlanRequest::new(4).mu(0.8)).is_ok());
    let plain = scheduler(Sampler::FlowEuler);
    assert_eq!(plain.plan(&PlanRequest::new(4).mu(0.8)).unwrap_err(), PlanError::DynamicShift);
}
