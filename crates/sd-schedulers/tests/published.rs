//! The constants that diffusers' own tests expect (`tests/schedulers/test_scheduler_*.py`, `full_loop`), without any file:
//! samples `arange(768) / 768`, the model `x t / (t + 1)`, ten steps, betas from 0.0001 to 0.02.

#![allow(clippy::unwrap_used)]

use sd_schedulers::{HostRun, PlanRequest, SchedulerConfig, TorchCpuGenerator};
use serde_json::json;

/// The sum of magnitudes after ten steps. Those tests (but EDM's) pass the scaled input on as the sample, and so does this.
fn full_loop(class: &str, keys: serde_json::Value) -> f64 {
    let config = keys.as_object().unwrap().iter();
    let config = config
        .fold(SchedulerConfig::new(class), |config, (key, value)| config.with(key, value.clone()));
    let config = config.with("beta_schedule", "linear").with("beta_end", 0.02);
    let config =
        if config.get("beta_start").is_some() { config } else { config.with("beta_start", 0.0001) };
    let plan = config.build().unwrap().plan(&PlanRequest::new(10)).unwrap();
    // permute(3, 0, 1, 2) of [3, 8, 8, 4]: four images, whose order matters to the noise only
    let sample = (0..768).map(|index| (index % 192 * 4 + index / 192) as f64 / 768.0);
    let mut run =
        HostRun::new(&plan, sample.map(|value| value * plan.init_noise_sigma()).collect());
    let mut generator = TorchCpuGenerator::new(0);
    while let Some((input, evaluation)) = run.evaluation() {
        let factor = evaluation.timestep / (evaluation.timestep + 1.0);
        if class != "EDMEulerScheduler" {
            run.set_latents(input.clone()).unwrap();
        }
        run.advance(input.iter().map(|x| x * factor).collect(), &mut generator).unwrap();
    }
    run.latents().iter().map(|value| value.abs()).sum()
}

fn check(class: &str, keys: serde_json::Value, expected: f64) {
    let found = full_loop(class, keys.clone());
    assert!((found - expected).abs() < 1e-2, "{class} {keys}: expected {expected}, found {found}");
}

#[test]
fn ddim() {
    check("DDIMScheduler", json!({}), 172.0067);
    check("DDIMScheduler", json!({"prediction_type": "v_prediction"}), 52.5302);
    check("DDIMScheduler", json!({"beta_start": 0.01, "set_alpha_to_one": true}), 149.8295);
    check("DDIMScheduler", json!({"beta_start": 0.01, "set_alpha_to_one": false}), 149.0784);
}

#[test]
fn pndm() {
    check("PNDMScheduler", json!({}), 198.1318);
    check("PNDMScheduler", json!({"prediction_type": "v_prediction"}), 67.3986);
    check("PNDMScheduler", json!({"beta_start": 0.01, "set_alpha_to_one": true}), 230.0399);
    check("PNDMScheduler", json!({"beta_start": 0.01, "set_alpha_to_one": false}), 186.9482);
}

#[test]
fn euler_and_heun() {
    let steps = 1100;
    check("EulerDiscreteScheduler", json!({"num_train_timesteps": steps}), 10.0807);
    check(
        "EulerDiscreteScheduler",
        json!({"num_train_timesteps": steps, "prediction_type": "v_prediction"}),
        0.0002,
    );
    check(
        "EulerDiscreteScheduler",
        json!({"num_train_timesteps": steps, "use_karras_sigmas": true}),
        124.5230,
    );
    check("HeunDiscreteScheduler", json!({"num_train_timesteps": steps}), 0.1233);
}

#[test]
fn euler_ancestral_with_torch_noise() {
    let class = "EulerAncestralDiscreteScheduler";
    check(class, json!({"num_train_timesteps": 1100}), 152.3192);
    check(class, json!({"num_train_timesteps": 1100, "prediction_type": "v_prediction"}), 108.4439);
}

#[test]
fn dpm_multistep() {
    let mean = |keys: serde_json::Value, expected: f64| {
        let mut config = json!({"final_sigmas_type": "sigma_min", "lower_order_final": false});
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let found = full_loop("DPMSolverMultistepScheduler", config) / 768.0;
        assert!((found - expected).abs() < 1e-3, "{keys}: expected {expected}, found {found}");
    };
    mean(json!({}), 0.3301);
    mean(json!({"prediction_type": "v_prediction"}), 0.2251);
    mean(json!({"prediction_type": "v_prediction", "use_karras_sigmas": true}), 0.2096);
    mean(json!({"prediction_type": "v_prediction", "use_lu_lambdas": true}), 0.1554);
}

#[test]
fn other_samplers_in_terms_of_sigmas() {
    let steps = 1100;
    check("LMSDiscreteScheduler", json!({"num_train_timesteps": steps}), 1006.388);
    check("KDPM2DiscreteScheduler", json!({"num_train_timesteps": steps}), 20.4125);
}

#[test]
fn ddim_inverse() {
    check("DDIMInverseScheduler", json!({}), 671.6816);
    check("DDIMInverseScheduler", json!({"prediction_type": "v_prediction"}), 1394.2185);
    let beta = |to_one: bool| json!({"beta_start": 0.01, "set_alpha_to_one": to_one});
    check("DDIMInverseScheduler", beta(true), 539.9622);
    check("DDIMInverseScheduler", beta(false), 542.6722);
}

#[test]
fn other_samplers_in_terms_of_log_snrs() {
    let mean = |class: &str, keys: serde_json::Value, expected: f64| {
        let found = full_loop(class, keys.clone()) / 768.0;
        assert!((found - expected).abs() < 1e-3, "{class} {keys}: {expected}, found {found}");
    };
    let single = "DPMSolverSinglestepScheduler";
    let last = |karras: bool, prediction: &str| {
        json!({
            "final_sigmas_type": "sigma_min", "use_karras_sigmas": karras, "prediction_type": prediction,
        })
    };
    mean(single, last(false, "epsilon"), 0.2791);
    mean(single, last(true, "epsilon"), 0.2248);
    mean(single, last(false, "v_prediction"), 0.1453);
    mean(single, last(true, "v_prediction"), 0.0649);
    mean("DEISMultistepScheduler", json!({}), 0.23916);
    mean("DEISMultistepScheduler", json!({"prediction_type": "v_prediction"}), 0.091);
    let unipc = "UniPCMultistepScheduler";
    mean(unipc, last(false, "epsilon"), 0.2464);
    mean(unipc, last(true, "epsilon"), 0.2925);
    mean(unipc, last(false, "v_prediction"), 0.1014);
    mean(unipc, last(true, "v_prediction"), 0.1966);
}

#[test]
fn edm_euler() {
    check("EDMEulerScheduler", json!({}), 34.1855);
}
