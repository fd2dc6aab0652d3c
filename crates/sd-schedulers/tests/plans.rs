//! Requests of every kind: a plan or a typed error, never a panic, and always as many steps as were asked for.

#![allow(clippy::unwrap_used)]

use sd_schedulers::{
    ConfigError, HostRun, NoiseGenerator, PlanError, PlanRequest, Sampler, Scheduler,
    SchedulerConfig, SchedulerKind, TimestepSpacing, TorchCpuGenerator,
};

fn scheduler(class: &str, keys: &[(&str, serde_json::Value)]) -> Box<dyn Scheduler> {
    let keys = keys.iter().cloned();
    let config =
        keys.fold(SchedulerConfig::new(class), |config, (key, value)| config.with(key, value));
    config.build().unwrap()
}

/// Runs a plan to its end on one number.
fn finish(scheduler: &dyn Scheduler, request: &PlanRequest) -> Result<usize, PlanError> {
    let plan = scheduler.plan(request)?;
    assert_eq!(plan.sigmas().len(), plan.timesteps().len() + 1);
    let mut run = HostRun::new(&plan, vec![plan.init_noise_sigma()]);
    let mut noise = TorchCpuGenerator::new(0);
    // EDM's are logarithms
    let least = if scheduler.config().class_name().starts_with("EDM") { f64::MIN } else { 0.0 };
    while let Some((input, evaluation)) = run.evaluation() {
        assert!(evaluation.timestep.is_finite() && evaluation.timestep >= least);
        run.advance(vec![0.5 * input[0]], &mut noise).unwrap();
        assert!(run.latents()[0].is_finite(), "{scheduler:?} {request:?}");
    }
    assert_eq!(run.index(), plan.steps());
    Ok(run.index())
}

fn is_narrow(kind: SchedulerKind) -> bool {
    [SchedulerKind::DdimInverse, SchedulerKind::Lcm, SchedulerKind::Tcd].contains(&kind)
}

/// Multistep samplers in terms of sigmas, whose order is not lowered where two of them are equal.
const TAKES_SLOPES: &[SchedulerKind] =
    &[SchedulerKind::Lms, SchedulerKind::DpmPlusPlus3MSde, SchedulerKind::DpmPlusPlus2MCfgPlusPlus];

#[test]
fn every_number_of_steps() {
    let few: Vec<usize> = (1..=7).chain([16, 61]).collect();
    let many = [999, 1000, 1001];
    for (count, numbers) in [(1, &few[..3]), (7, &few[..]), (1000, &few[..]), (1000, &many[..])] {
        for sampler in Sampler::ALL {
            let kind = SchedulerKind::new(*sampler);
            for spacing in TimestepSpacing::ALL {
                let config = SchedulerConfig::new(kind.class_name())
                    .with("num_train_timesteps", count)
                    .with("timestep_spacing", spacing.name());
                // distilled models have 50 timesteps, and inversion no linspace
                let Ok(scheduler) = kind.with_config_of(&config) else {
                    assert!(is_narrow(kind), "{kind} {spacing} {count}");
                    continue;
                };
                for &steps in numbers {
                    for begin in [0, 1, steps / 2, steps - 1] {
                        if begin >= steps {
                            continue;
                        }
                        // long runs take their time
                        if steps > 100 && (begin == 1 || begin + begin == steps - 1) {
                            continue;
                        }
                        let request = PlanRequest::new(steps).begin(begin);
                        let label = format!("{kind} {spacing} {count} {request:?}");
                        match finish(&*scheduler, &request) {
                            Ok(made) => assert_eq!(made, steps - begin, "{label}"),
                            // more steps than training had, or fewer than the warm-up of PNDM
                            Err(PlanError::TooManySteps { limit, .. }) => {
                                let own = is_narrow(kind) || *spacing == TimestepSpacing::Leading;
                                assert!(limit < steps && (own || limit >= count), "{label}");
                            }
                            Err(PlanError::TooFewSteps { needed, .. }) => {
                                assert!(kind == SchedulerKind::Pndm && steps < needed, "{label}");
                            }
                            // more steps than training had: equal sigmas, and no slope
                            Err(PlanError::NotFinite { .. }) => {
                                assert!(TAKES_SLOPES.contains(&kind) && count < steps, "{label}");
                            }
                            Err(error) => panic!("{label}: {error}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn ordinary_requests_succeed() {
    for kind in SchedulerKind::ALL {
        for spacing in TimestepSpacing::ALL {
            let config = SchedulerConfig::new("").with("timestep_spacing", spacing.name());
            let Ok(scheduler) = kind.with_config_of(&config) else {
                assert!(is_narrow(*kind), "{kind} {spacing}");
                continue;
            };
            for steps in [4, 20, 50, 100] {
                if steps == 100 && [SchedulerKind::Lcm, SchedulerKind::Tcd].contains(kind) {
                    continue;
                }
                for begin in [0, 1, steps / 2, steps - 1] {
                    let request = PlanRequest::new(steps).begin(begin).eta(1.0);
                    assert_eq!(
                        finish(&*scheduler, &request),
                        Ok(steps - begin),
                        "{kind} {spacing}"
                    );
                }
            }
        }
    }
}

/// Counts draws.
#[derive(Debug, Default)]
struct Counter(usize);

impl NoiseGenerator for Counter {
    fn fill(&mut self, _values: &mut [f32]) {
        self.0 += 1;
    }
}

// diffusers: Euler ancestral draws in the last step, too, DDIM whenever eta is above 0
#[test]
fn draws_of_noise() {
    for (class, eta, expected) in [
        ("EulerAncestralDiscreteScheduler", 0.0, 10),
        ("DDIMScheduler", 0.5, 10),
        ("DDIMScheduler", 0.0, 0),
        ("PNDMScheduler", 0.5, 0),
        ("DPMSolverMultistepScheduler", 0.5, 0),
    ] {
        let plan = scheduler(class, &[]).plan(&PlanRequest::new(10).eta(eta)).unwrap();
        let mut run = HostRun::new(&plan, vec![1.0]);
        let mut counter = Counter::default();
        while let Some((input, _)) = run.evaluation() {
            run.advance(input, &mut counter).unwrap();
        }
        assert_eq!(counter.0, expected, "{class} {eta}");
    }
}

// the web interface's rule, and rules of one's own: noise is drawn once for each round
#[test]
fn restarts_go_back_as_often_as_they_say() {
    let draws = |steps: usize, list: Option<Vec<f64>>| {
        let config = SchedulerConfig::new("RestartScheduler").with("beta_end", 0.012);
        let config = list.map_or(config.clone(), |list| config.with("restart_list", list));
        let plan = config.build()?.plan(&PlanRequest::new(steps)).unwrap();
        let rises = plan.sigmas().windows(2).filter(|pair| pair[1] > pair[0]).count();
        let mut run = HostRun::new(&plan, vec![1.0]);
        let mut counter = Counter::default();
        while let Some((input, _)) = run.evaluation() {
            run.advance(input, &mut counter).unwrap();
        }
        assert_eq!((run.index(), rises), (steps, counter.0));
        Ok::<_, sd_schedulers::ConfigError>(counter.0)
    };
    for (steps, expected) in [(1, 0), (19, 0), (20, 1), (35, 1), (36, 2), (100, 2)] {
        assert_eq!(draws(steps, None), Ok(expected), "{steps}");
    }
    assert_eq!(draws(36, Some(vec![])), Ok(0));
    assert_eq!(draws(36, Some(vec![0.3, 3.0, 4.0, 3.0, 0.1, 1.0, 2.0, 2.0])), Ok(5));
    for wrong in [vec![1.0], vec![3.0, 0.3, 4.0, 3.0], vec![0.3, 3.0, 0.0, 1.0]] {
        assert!(draws(36, Some(wrong)).is_err());
    }
}

// With all noise fresh and no signal left at the first step, only rounding keeps the direction from being zero.
#[test]
fn ddim_with_fresh_noise_only_works_at_any_number_of_steps() {
    let keys = [
        ("rescale_betas_zero_snr", true.into()),
        ("timestep_spacing", "trailing".into()),
        ("prediction_type", "v_prediction".into()),
    ];
    for steps in 1..=100 {
        let plan = scheduler("DDIMScheduler", &keys).plan(&PlanRequest::new(steps).eta(1.0));
        assert!(plan.is_ok(), "{steps} steps: {plan:?}");
    }
}

// diffusers: the counts of `timesteps` after set_timesteps(20)
#[test]
fn evaluations_of_twenty_steps() {
    let prk = [("skip_prk_steps", true.into())];
    for (scheduler, expected) in [
        (scheduler("DDIMScheduler", &[]), 20),
        (scheduler("PNDMScheduler", &prk), 21),
        (scheduler("PNDMScheduler", &[]), 29),
        (scheduler("EulerDiscreteScheduler", &[]), 20),
        (scheduler("HeunDiscreteScheduler", &[]), 39),
        (scheduler("DPMSolverMultistepScheduler", &[]), 20),
    ] {
        let plan = scheduler.plan(&PlanRequest::new(20)).unwrap();
        assert_eq!((plan.timesteps().len(), plan.steps()), (expected, 20), "{scheduler:?}");
    }
    let plan =
        scheduler("PNDMScheduler", &[("skip_prk_steps", true.into()), ("steps_offset", 1.into())]);
    let plan = plan.plan(&PlanRequest::new(20)).unwrap();
    assert_eq!(plan.timesteps()[..4], [951.0, 901.0, 901.0, 851.0]);
}

// diffusers.md: sigma(951) = 11.028 for leading, 14.615 for linspace
#[test]
fn initial_noise() {
    let stable_diffusion = |spacing: &str| {
        scheduler(
            "EulerDiscreteScheduler",
            &[
                ("beta_schedule", "scaled_linear".into()),
                ("beta_start", 0.00085.into()),
                ("beta_end", 0.012.into()),
                ("timestep_spacing", spacing.into()),
                ("steps_offset", 1.into()),
            ],
        )
    };
    for (spacing, expected) in
        [("leading", (11.02833_f64.powi(2) + 1.0).sqrt()), ("linspace", 14.61464)]
    {
        let plan = stable_diffusion(spacing).plan(&PlanRequest::new(20)).unwrap();
        assert!((plan.init_noise_sigma() - expected).abs() < 1e-4);
    }
}

#[test]
fn restarts_that_do_not_fit_are_refused() {
    for (steps, list) in
        [(10, [0.3, 3.0, 4.0, 3.0]), (1, [0.3, 3.0, 1.0, 1.0]), (36, [1000.0, 2000.0, 2.0, 1.0])]
    {
        let restart = scheduler("RestartScheduler", &[("restart_list", list.to_vec().into())]);
        let error = restart.plan(&PlanRequest::new(steps)).unwrap_err();
        assert!(matches!(error, PlanError::Restarts { .. }), "{list:?}: {error}");
    }
}

#[test]
fn levels_of_flow_matching_have_ends() {
    let flow = || ("use_flow_sigmas", true.into());
    let unipc = [flow(), ("prediction_type", "flow_prediction".into())];
    for scheduler in [
        scheduler("FlowMatchEulerDiscreteScheduler", &[]),
        scheduler("FlowMatchLCMScheduler", &[]),
        scheduler("UniPCMultistepScheduler", &unipc),
    ] {
        let plan = |sigmas: Vec<f64>| scheduler.plan(&PlanRequest::new(1).sigmas(sigmas));
        assert!(plan(vec![1.0, 0.5, 0.0]).is_ok(), "{scheduler:?}");
        let beyond = plan(vec![1.5, 0.5, 0.0]).unwrap_err();
        assert_eq!(beyond, PlanError::CustomBeyond { what: "sigmas", value: 1.5, most: 1.0 });
    }
    let euler = scheduler("FlowMatchEulerDiscreteScheduler", &[]);
    assert!(euler.plan(&PlanRequest::new(1).timesteps(vec![1000.0, 10.0])).is_ok());
    let beyond = euler.plan(&PlanRequest::new(1).timesteps(vec![1001.0, 10.0])).unwrap_err();
    assert_eq!(beyond, PlanError::CustomBeyond { what: "timesteps", value: 1001.0, most: 1000.0 });
}

#[test]
fn shifts_that_cannot_be_are_refused() {
    for (class, more) in [
        ("FlowMatchEulerDiscreteScheduler", vec![]),
        ("UniPCMultistepScheduler", vec![("use_flow_sigmas", true), ("predict_x0", true)]),
    ] {
        let config = || {
            let config = SchedulerConfig::new(class).with("prediction_type", "flow_prediction");
            more.iter().fold(config, |config, (key, value)| config.with(*key, *value))
        };
        let linear = config().with("use_dynamic_shifting", true).with("time_shift_type", "linear");
        let linear = linear.build().unwrap();
        assert!(linear.plan(&PlanRequest::new(4).mu(0.5)).is_ok());
        for mu in [0.0, -0.5] {
            let error = linear.plan(&PlanRequest::new(4).mu(mu)).unwrap_err();
            assert_eq!(error, PlanError::Mu { mu }, "{class}");
        }
        let sigmas = |terminal: f64| {
            let scheduler = config().with("shift_terminal", terminal).build()?;
            Ok::<_, ConfigError>(scheduler.plan(&PlanRequest::new(4)).unwrap().sigmas().to_vec())
        };
        // 0 is none, as in diffusers
        assert_eq!(
            sigmas(0.0),
            Ok(config().build().unwrap().plan(&PlanRequest::new(4)).unwrap().sigmas().to_vec())
        );
        for wrong in [1.0, 1.5, -0.1] {
            assert!(
                matches!(sigmas(wrong), Err(ConfigError::OutOfRange { .. })),
                "{class} {wrong}"
            );
        }
    }
}

#[test]
fn ends_of_sigmas_are_the_right_way_round() {
    let keys = |least: f64, most: f64| [("sigma_min", least.into()), ("sigma_max", most.into())];
    for class in ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "EDMEulerScheduler"] {
        let config = keys(3.0, 2.0)
            .into_iter()
            .fold(SchedulerConfig::new(class), |config, (key, value): (_, serde_json::Value)| {
                config.with(key, value)
            });
        assert!(matches!(config.build().unwrap_err(), ConfigError::OutOfRange { .. }), "{class}");
    }
    // against the other end of training
    for class in ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"] {
        let least = [("sigma_min", 1e4.into()), ("use_karras_sigmas", true.into())];
        let error = scheduler(class, &least).plan(&PlanRequest::new(5)).unwrap_err();
        assert!(matches!(error, PlanError::SigmaEnds { least: 1e4, .. }), "{class}: {error}");
    }
}

// the level of the result is that at which the sampler stops
#[test]
fn the_level_after_the_last_step() {
    for (class, keys) in [
        ("DDIMInverseScheduler", vec![]),
        ("DEISMultistepScheduler", vec![]),
        ("EulerDiscreteScheduler", vec![]),
        ("EulerDiscreteScheduler", vec![("final_sigmas_type", "sigma_min".into())]),
        ("FlowMatchEulerDiscreteScheduler", vec![("invert_sigmas", true.into())]),
    ] {
        let plan = scheduler(class, &keys).plan(&PlanRequest::new(6)).unwrap();
        let mut run = HostRun::new(&plan, vec![1.0]);
        assert_eq!(run.level(), plan.level());
        while let Some((input, _)) = run.evaluation() {
            run.advance(input, &mut Counter::default()).unwrap();
        }
        assert_eq!(run.level(), plan.final_level());
        assert_eq!(run.level().sigma(), plan.sigmas()[plan.timesteps().len()], "{class}");
        let is_noisy = class.starts_with("DDIM")
            || class.starts_with("DEIS")
            || keys.iter().any(|key| key.0 == "final_sigmas_type");
        assert_eq!(run.level().noise > 0.0, is_noisy, "{class}");
    }
}

#[test]
fn initial_noise_of_custom_sigmas_is_the_first_of_them() {
    for sampler in [Sampler::EdmEuler, Sampler::EdmDpmPlusPlus2M, Sampler::Heun] {
        let scheduler = SchedulerKind::new(sampler).default_scheduler().unwrap();
        let plan = scheduler.plan(&PlanRequest::new(1).sigmas(vec![7.0, 1.0, 0.0])).unwrap();
        let expected = if sampler == Sampler::Heun { 7.0 } else { 50f64.sqrt() };
        assert!((plan.init_noise_sigma() - expected).abs() < 1e-12, "{sampler:?}");
    }
}

#[test]
fn impossible_requests_are_typed_errors() {
    let ddim = scheduler("DDIMScheduler", &[]);
    let error = |scheduler: &dyn Scheduler, request| scheduler.plan(&request).unwrap_err();
    assert_eq!(error(&*ddim, PlanRequest::new(0)), PlanError::NoSteps);
    assert_eq!(
        error(&*ddim, PlanRequest::new(1001)),
        PlanError::TooManySteps { steps: 1001, limit: 1000 }
    );
    assert!(matches!(error(&*ddim, PlanRequest::new(5).eta(f64::NAN)), PlanError::Eta { .. }));
    assert!(matches!(error(&*ddim, PlanRequest::new(5).eta(40.0)), PlanError::Eta { .. }));
    let prk = scheduler("PNDMScheduler", &[]);
    assert!(matches!(error(&*prk, PlanRequest::new(3)), PlanError::TooFewSteps { needed: 4, .. }));
    let beyond = scheduler("DDIMScheduler", &[("steps_offset", 1.into())]);
    assert_eq!(
        error(&*beyond, PlanRequest::new(1000)),
        PlanError::TimestepOutOfRange { timestep: 1000, num_train_timesteps: 1000 }
    );
    let zero_snr =
        [("rescale_betas_zero_snr", true.into()), ("timestep_spacing", "trailing".into())];
    let dark = scheduler("DDIMScheduler", &zero_snr);
    assert_eq!(error(&*dark, PlanRequest::new(10)), PlanError::NotFinite { timestep: 999.0 });
    let same = scheduler("DPMSolverMultistepScheduler", &[("timestep_spacing", "leading".into())]);
    assert_eq!(
        error(&*same, PlanRequest::new(1000)),
        PlanError::TooManySteps { steps: 1000, limit: 999 }
    );
    let trailing = scheduler("EulerDiscreteScheduler", &[("timestep_spacing", "trailing".into())]);
    assert!(matches!(error(&*trailing, PlanRequest::new(1001)), PlanError::TooManySteps { .. }));
}
