use super::*;

#[test]
fn every_spelling_is_read() {
    for (names, kind) in [
        (["ddim", "DDIM", "DDIMScheduler"], SchedulerKind::Ddim),
        (["pndm", "PLMS", "PNDMScheduler"], SchedulerKind::Pndm),
        (["euler", "Euler", "EulerDiscreteScheduler"], SchedulerKind::Euler),
        (["euler-a", "Euler a", "EulerAncestralDiscreteScheduler"], SchedulerKind::EulerAncestral),
        (["heun", "Heun", "HeunDiscreteScheduler"], SchedulerKind::Heun),
        (["dpm++2m", "DPM++ 2M", "DPMSolverMultistepScheduler"], SchedulerKind::DpmPlusPlus2M),
        (
            ["dpm++2m-karras", "DPM++ 2M Karras", "dpmpp_2m_karras"],
            SchedulerKind::DpmPlusPlus2MKarras,
        ),
    ] {
        for name in names {
            assert_eq!(name.parse::<SchedulerKind>(), Ok(kind), "{name}");
        }
        assert_eq!(kind.to_string().parse::<SchedulerKind>(), Ok(kind));
    }
}

#[test]
fn every_kind_is_found_by_each_of_its_names() {
    for kind in SchedulerKind::ALL {
        let by_name = |name: &str| name.parse::<SchedulerKind>();
        assert_eq!(by_name(kind.name()), Ok(*kind));
        assert_eq!(by_name(kind.title()), Ok(*kind));
        assert_eq!(by_name(&kind.title().to_uppercase()), Ok(*kind));
        assert_eq!(SchedulerKind::of(&kind.config_from(&SchedulerConfig::new(""))), Some(*kind));
        if let (Some(name), None) = (kind.k_diffusion_name(), kind.schedule()) {
            assert_eq!(by_name(&name), Ok(*kind), "{name}");
        }
        let json = serde_json::to_string(kind).unwrap();
        assert_eq!(serde_json::from_str::<SchedulerKind>(&json).unwrap(), *kind);
    }
    let mut names: Vec<_> = SchedulerKind::ALL.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SchedulerKind::ALL.len());
}

// the scheduler table of diffusers' documentation, and the list of the web interface
#[test]
fn names_of_other_programs() {
    use SigmaSchedule::*;
    for (name, sampler, schedule) in [
        ("DPM++ SDE Karras", Sampler::DpmPlusPlusSde, Some(Karras)),
        ("DPM++ 2S a Karras", Sampler::DpmPlusPlus2SAncestral, Some(Karras)),
        ("DPM++ 2M SDE Heun Exponential", Sampler::DpmPlusPlus2MSdeHeun, Some(Exponential)),
        ("Euler a SGM Uniform", Sampler::EulerAncestral, Some(SgmUniform)),
        ("DPM++ 2M Align Your Steps", Sampler::DpmPlusPlus2M, Some(AlignYourSteps)),
        ("DPM++ 2M Align Your Steps XL", Sampler::DpmPlusPlus2M, Some(AlignYourStepsXl)),
        ("Euler DDIM Uniform", Sampler::Euler, Some(DdimUniform)),
        ("dpmpp_2m_cfg_pp", Sampler::DpmPlusPlus2MCfgPlusPlus, None),
        ("sample_dpm_2_ancestral", Sampler::Dpm2Ancestral, None),
        ("k_lms", Sampler::Lms, None),
        ("UniPCMultistepScheduler", Sampler::UniPc, None),
        ("EulerDiscreteScheduler Beta", Sampler::Euler, Some(Beta)),
    ] {
        let kind: SchedulerKind = name.parse().unwrap();
        assert_eq!((kind.sampler(), kind.schedule()), (sampler, schedule), "{name}");
    }
}

#[test]
fn what_belongs_to_the_sampler_is_what_its_name_says() {
    let sde = SchedulerKind::DpmPlusPlus2MSdeHeun.with_schedule(SigmaSchedule::Exponential);
    let config = sde.config_from(&SchedulerConfig::new("PNDMScheduler").with("beta_end", 0.012));
    assert_eq!(config.get("algorithm_type"), Some(&"sde-dpmsolver++".into()));
    assert_eq!(config.get("solver_type"), Some(&"heun".into()));
    assert_eq!(config.get("use_exponential_sigmas"), Some(&true.into()));
    for kind in SchedulerKind::ALL.iter().filter(|kind| kind.schedule().is_none()) {
        let swapped = kind.config_from(&config);
        assert_eq!(swapped.get("beta_end"), Some(&0.012.into()));
        assert_ne!(swapped.get("use_exponential_sigmas"), Some(&true.into()), "{kind}");
        kind.with_config_of(&config).unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
    let ancestral = SchedulerKind::EulerAncestral.with_schedule(SigmaSchedule::Karras);
    let config = ancestral.config_from(&config);
    assert_eq!(config.get("sigma_schedule"), Some(&"karras".into()));
    assert_eq!(SchedulerKind::of(&config), Some(ancestral));
    assert!(SchedulerKind::Lcm.with_schedule(SigmaSchedule::Karras).default_scheduler().is_err());
}

// nothing that only one sampler is goes into the next
#[test]
fn swapping_twice_is_swapping_once() {
    let model = SchedulerConfig::new("PNDMScheduler")
        .with("beta_schedule", "scaled_linear")
        .with("steps_offset", 1);
    for first in Sampler::ALL {
        let between = SchedulerKind::new(*first).config_from(&model);
        for second in Sampler::ALL {
            let kind = SchedulerKind::new(*second);
            let (twice, once) = (kind.config_from(&between), kind.config_from(&model));
            assert_eq!(twice, once, "{first:?} {second:?}");
            assert!(twice.build().is_ok(), "{first:?} {second:?}");
        }
    }
}

#[test]
fn unknown_names_get_a_suggestion() {
    let unknown = "DPM++ 2N Karras".parse::<SchedulerKind>().unwrap_err();
    assert_eq!(unknown.nearest, Some("DPM++ 2M Karras"));
    assert!(unknown.to_string().contains("`dpm++2m-sde`"));
    assert_eq!("eular-a".parse::<SchedulerKind>().unwrap_err().nearest, Some("euler-a"));
    let error = SchedulerConfig::new("DDIMSchedular").build().unwrap_err().to_string();
    assert!(
        error.contains("did you mean `DDIMScheduler`?") && error.contains("HeunDiscreteScheduler"),
        "{error}"
    );
}

// SD 1.5's PNDM as DPM++ gets linspace, since its own leading was only a default; SDXL's Euler as DDIM carries leading.
#[test]
fn swapping_keeps_explicit_keys_and_drops_defaults() {
    let pndm = SchedulerConfig::new("PNDMScheduler")
        .with("beta_schedule", "scaled_linear")
        .with("steps_offset", 1);
    let swapped = SchedulerKind::DpmPlusPlus2MKarras.with_config_of(&pndm).unwrap();
    assert_eq!(swapped.config().class_name(), "DPMSolverMultistepScheduler");
    assert_eq!(swapped.config().get("timestep_spacing"), None);
    assert_eq!(swapped.config().get("steps_offset"), Some(&1.into()));
    assert_eq!(swapped.config().get("use_karras_sigmas"), Some(&true.into()));
    assert_eq!(swapped.config().training().unwrap().beta_schedule.to_string(), "scaled_linear");
    let plain = SchedulerKind::DpmPlusPlus2M.with_config_of(swapped.config()).unwrap();
    assert_eq!(plain.config().get("use_karras_sigmas"), Some(&false.into()));

    let euler = SchedulerConfig::new("EulerDiscreteScheduler").with("timestep_spacing", "leading");
    let ddim = SchedulerKind::Ddim.with_config_of(&euler.with("set_alpha_to_one", false)).unwrap();
    assert_eq!(ddim.config().get("timestep_spacing"), Some(&"leading".into()));
    assert_eq!(ddim.config().get("set_alpha_to_one"), Some(&false.into()));
}

#[test]
fn a_sampler_refuses_what_it_cannot_do() {
    let error = |class: &str, key: &str, value: serde_json::Value| {
        SchedulerConfig::new(class).with(key, value).build().unwrap_err().to_string()
    };
    let zero_snr = "rescale_betas_zero_snr";
    assert_eq!(
        error("PNDMScheduler", zero_snr, true.into()),
        "PNDMScheduler does not support `rescale_betas_zero_snr` = true"
    );
    assert!(error("HeunDiscreteScheduler", zero_snr, true.into()).contains("does not support"));
    for class in ["PNDMScheduler", "EulerAncestralDiscreteScheduler"] {
        assert!(
            error(class, "prediction_type", "sample".into()).contains("`prediction_type` = sample")
        );
    }
    for (class, key, value) in [
        ("DPMSolverMultistepScheduler", "variance_type", "learned_range"),
        ("DPMSolverSinglestepScheduler", "algorithm_type", "sde-dpmsolver"),
        ("DEISMultistepScheduler", "algorithm_type", "sde-dpmsolver++"),
        ("SASolverScheduler", "algorithm_type", "dpmsolver++"),
        ("EDMDPMSolverMultistepScheduler", "algorithm_type", "dpmsolver"),
        ("EDMEulerScheduler", "sigma_schedule", "beta"),
        ("DDPMScheduler", "variance_type", "learned"),
        ("DDIMInverseScheduler", "timestep_spacing", "linspace"),
        ("IPNDMScheduler", "prediction_type", "epsilon"),
        ("KDPM2DiscreteScheduler", "prediction_type", "sample"),
        ("DPMSolverSDEScheduler", "prediction_type", "sample"),
        ("UniPCMultistepScheduler", "prediction_type", "flow_prediction"),
        ("FlowMatchEulerDiscreteScheduler", "prediction_type", "epsilon"),
        ("FlowMatchEulerDiscreteScheduler", "sigma_schedule", "align_your_steps"),
        ("DDIMScheduler", "sigma_schedule", "karras"),
    ] {
        let text = error(class, key, value.into());
        assert!(text.contains("does not support") && text.contains(value), "{text}");
    }
    // noise prediction down to zero noise, as in diffusers
    let zero = error("DPMSolverMultistepScheduler", "algorithm_type", "dpmsolver".into());
    assert!(zero.contains("`final_sigmas_type` = zero"), "{zero}");
    let flow = error("DEISMultistepScheduler", "use_dynamic_shifting", true.into());
    assert!(flow.contains("does not support"), "{flow}");
    let two = SchedulerConfig::new("HeunDiscreteScheduler").with("use_karras_sigmas", true);
    assert_eq!(
        two.with("use_beta_sigmas", true).build().unwrap_err(),
        ConfigError::SeveralSigmaRules
    );
    assert!(
        error("DDIMScheduler", "timestep_spacing", "trail".into())
            .contains("did you mean `trailing`?")
    );
    assert!(
        error("DDIMScheduler", "prediction_type", "flow_prediction".into())
            .contains("does not support `prediction_type` = flow_prediction")
    );
    assert!(error("DDIMScheduler", "prediction_type", "eps".into()).contains("`v_prediction`"));
    assert!(error("DPMSolverMultistepScheduler", "solver_order", 4.into()).contains("from 1 to 3"));
}
