//! Measured orders of convergence on Gaussian data.

use sd_schedulers::{
    NoiseLevel, Plan, PlanRequest, PredictionType, SchedulerConfig, schedule::flow::shifted,
};
use serde_json::{Value, json};

use super::gaussian::{Answer, exact_law, flow_error, law};

/// Which latents a sampler works on, and so which steps it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// Clean latents plus sigma times noise; custom sigmas.
    Sigmas,
    /// Variance one; custom sigmas.
    LogSnr,
    /// The same inside the first fifth of the training steps, where SA-Solver adds no noise.
    LogSnrLow,
    /// The same between the timesteps 200 and 800, where SA-Solver adds noise.
    LogSnrMiddle,
    /// Flow matching; custom sigmas.
    Flow,
    /// The timesteps that the sampler chooses itself, of a training run so long that they are dense.
    Timesteps,
}

/// A sampler whose order is measured.
pub(crate) struct Subject {
    pub(crate) title: &'static str,
    pub(crate) class: &'static str,
    keys: Value,
    space: Space,
    answer: Answer,
    pub(crate) order: f64,
    /// Evaluations of the model in a step.
    pub(crate) evaluations: usize,
    by_tree: bool,
}

/// Steps of the measured runs; each doubles the one before, and groups of two and three fit.
pub(crate) const STEPS: [usize; 5] = [48, 96, 192, 384, 768];
/// Those of stochastic runs, where a unit of every noise is followed.
pub(crate) const FEWER_STEPS: [usize; 4] = [48, 96, 192, 384];

impl Subject {
    fn config(&self) -> SchedulerConfig {
        let config = SchedulerConfig::new(self.class);
        let keys = self.keys.as_object().unwrap().iter();
        keys.fold(config, |config, (key, value)| config.with(key, value.clone()))
    }

    /// Falling sigmas; the first steps are small, so that the low orders that a multistep method starts with do not count.
    fn sigmas(&self, steps: usize) -> Vec<f64> {
        let grid = |most: f64, least: f64| -> Vec<f64> {
            let place = |step: usize| (step as f64 / steps as f64).powi(3);
            // the first steps small, then even ones
            let mixed = |step: usize| {
                let (u, p) = (step as f64 / steps as f64, place(step));
                0.75 * p * (2.0 - u) + 0.25 * u.powi(3)
            };
            (0..=steps).map(|step| (most.ln() + mixed(step) * (least / most).ln()).exp()).collect()
        };
        match self.space {
            Space::LogSnrLow => grid(0.28, 0.04),
            Space::LogSnrMiddle => grid(4.0, 0.9),
            Space::Flow => (0..=steps)
                .map(|step| shifted(0.98 - 0.96 * step as f64 / steps as f64, 1.0))
                .collect(),
            _ => grid(20.0, 0.05),
        }
    }

    pub(crate) fn plan(&self, steps: usize, eta: f64) -> Plan {
        let request = match self.space {
            // Its very first step knows nothing but noise, and is of first order.
            _ if self.class == "IPNDMScheduler" => PlanRequest::new(steps).begin(steps / 4),
            Space::Timesteps => PlanRequest::new(steps).eta(eta),
            _ => PlanRequest::new(1).sigmas(self.sigmas(steps)),
        };
        let scheduler = self.config().build().unwrap();
        scheduler.plan(&request).unwrap_or_else(|error| panic!("{}: {error}", self.title))
    }

    fn last_level(&self, plan: &Plan) -> NoiseLevel {
        let sigma = *plan.sigmas().last().unwrap();
        match self.space {
            Space::Sigmas => NoiseLevel::variance_exploding(sigma),
            _ if self.answer == FLOW => {
                NoiseLevel::flow(sigma / (1.0 + sigma)) // the plan's is the ratio of noise to signal
            }
            _ => NoiseLevel::variance_preserving_sigma(sigma),
        }
    }

    /// Distance from the probability flow.
    pub(crate) fn error(&self, steps: usize) -> f64 {
        let plan = self.plan(steps, 0.0);
        flow_error(&plan, self.answer, self.last_level(&plan))
    }

    /// Distance of the law of the end from that of the reverse diffusion, relative in factor and variance.
    pub(crate) fn weak_error(&self, steps: usize) -> f64 {
        let plan = self.plan(steps, 1.0);
        let (factor, variance) = law(&plan, self.answer, self.by_tree);
        let (exact_factor, exact_variance) = exact_law(plan.level(), self.last_level(&plan));
        (factor / exact_factor - 1.0).abs() + (variance / exact_variance - 1.0).abs()
    }
}

/// By how many powers of two the error falls as the steps double, over the last two doublings.
pub(crate) fn slope(errors: &[f64]) -> f64 {
    let count = errors.len();
    (errors[count - 3] / errors[count - 1]).log2() / 2.0
}

const EPSILON: Answer = Answer::Prediction(PredictionType::Epsilon);
const FLOW: Answer = Answer::Prediction(PredictionType::FlowPrediction);

fn subject(
    title: &'static str,
    class: &'static str,
    space: Space,
    order: f64,
    keys: Value,
) -> Subject {
    let answer = match space {
        Space::Flow => FLOW,
        _ => EPSILON,
    };
    Subject { title, class, keys, space, answer, order, evaluations: 1, by_tree: false }
}

/// Keys under which the last steps have the full order, too.
fn full(mut keys: Value) -> Value {
    keys["final_sigmas_type"] = json!("sigma_min");
    keys["lower_order_final"] = json!(false);
    keys
}

/// A training run so long that any number of timesteps is dense, with the noise of SD's.
fn dense(mut keys: Value) -> Value {
    let count = 48_000.0;
    keys["num_train_timesteps"] = json!(count);
    // The first level is not next to clean: there the noise is a root of time, and nothing that is smooth.
    let beta = |index: usize| match index {
        0 => 0.05,
        _ => (0.85 + 11.15 * index as f64 / count) / count,
    };
    keys["trained_betas"] = json!((0..count as usize).map(beta).collect::<Vec<f64>>());
    keys["clip_sample"] = json!(false);
    keys["set_alpha_to_one"] = json!(false);
    keys
}

/// The same for DDPM, which always ends at clean latents: there the first level has to be next to clean.
fn dense_to_clean() -> Value {
    let count = 48_000.0;
    json!({
        "num_train_timesteps": count, "beta_start": 0.85 / count, "beta_end": 12.0 / count, "clip_sample": false,
    })
}

/// Every deterministic solver.
pub(crate) fn deterministic() -> Vec<Subject> {
    use Space::*;
    let multi = "DPMSolverMultistepScheduler";
    let single = "DPMSolverSinglestepScheduler";
    let (deis, unipc, sa) =
        ("DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler");
    let mut all = vec![
        subject("DDIM", "DDIMScheduler", Timesteps, 1.0, dense(json!({}))),
        subject("DDIM inverse", "DDIMInverseScheduler", Timesteps, 1.0, dense(json!({}))),
        subject(
            "PNDM (PLMS)",
            "PNDMScheduler",
            Timesteps,
            2.0,
            dense(json!({"skip_prk_steps": true})),
        ),
        subject("PNDM (Runge-Kutta start)", "PNDMScheduler", Timesteps, 2.0, dense(json!({}))),
        Subject {
            answer: Answer::Prediction(PredictionType::VPrediction),
            ..subject("IPNDM", "IPNDMScheduler", Timesteps, 2.0, json!({}))
        },
        subject("Euler", "EulerDiscreteScheduler", Sigmas, 1.0, json!({})),
        subject("Heun", "HeunDiscreteScheduler", Sigmas, 2.0, json!({})),
        subject("DPM2", "KDPM2DiscreteScheduler", Sigmas, 2.0, json!({})),
        subject("LMS", "LMSDiscreteScheduler", Sigmas, 4.0, json!({})),
        subject("Euler CFG++", "EulerCFGPPScheduler", Sigmas, 1.0, json!({})),
        subject("DPM++ 2M CFG++", "DPMPP2MCFGPPScheduler", Sigmas, 2.0, json!({})),
    ];
    // Third-order multistep updates take half of the second difference, as published and in diffusers: they are of order 2.
    for (title, order) in [("DPM++ 1", 1), ("DPM++ 2M", 2), ("DPM++ 3M", 3)] {
        let measured = f64::from(order.min(2));
        all.push(subject(title, multi, LogSnr, measured, full(json!({"solver_order": order}))));
    }
    all.push(subject(
        "DPM++ 2M (Heun's form)",
        multi,
        LogSnr,
        2.0,
        full(json!({"solver_type": "heun"})),
    ));
    for (title, order) in [("DPM-Solver 1", 1), ("DPM-Solver 2M", 2), ("DPM-Solver 3M", 3)] {
        let keys = json!({"solver_order": order, "algorithm_type": "dpmsolver"});
        all.push(subject(title, multi, LogSnr, f64::from(order.min(2)), full(keys)));
    }
    for (title, algorithm) in
        [("DPM++ 3M, exact", "dpmsolver++"), ("DPM-Solver 3M, exact", "dpmsolver")]
    {
        let keys =
            json!({"solver_order": 3, "algorithm_type": algorithm, "exact_third_order": true});
        all.push(subject(title, multi, LogSnr, 3.0, full(keys)));
    }
    for (title, order, algorithm) in [
        ("DPM++ 2S", 2, "dpmsolver++"),
        ("DPM++ 3S", 3, "dpmsolver++"),
        ("DPM-Solver 2S", 2, "dpmsolver"),
        ("DPM-Solver 3S", 3, "dpmsolver"),
    ] {
        let keys =
            json!({"solver_order": order, "algorithm_type": algorithm, "solver_type": "heun"});
        all.push(subject(title, single, LogSnr, f64::from(order), full(keys)));
    }
    for (title, order) in [("DEIS 1", 1), ("DEIS 2", 2), ("DEIS 3", 3)] {
        all.push(subject(title, deis, LogSnr, order as f64, full(json!({"solver_order": order}))));
    }
    for (title, order, form) in
        [("UniPC 2 (bh2)", 2, "bh2"), ("UniPC 2 (bh1)", 2, "bh1"), ("UniPC 3 (bh2)", 3, "bh2")]
    {
        let keys = json!({"solver_order": order, "solver_type": form});
        all.push(subject(title, unipc, LogSnr, f64::from(order), full(keys)));
    }
    for (title, order) in [("SA-Solver 2 (no noise)", 2), ("SA-Solver 3 (no noise)", 3)] {
        let keys = json!({"predictor_order": order, "corrector_order": order});
        all.push(subject(title, sa, LogSnrLow, order as f64, full(keys)));
    }
    let flow = json!({"use_flow_sigmas": true, "prediction_type": "flow_prediction"});
    all.extend([
        subject("Flow Euler", "FlowMatchEulerDiscreteScheduler", Flow, 1.0, json!({})),
        subject("DPM++ 2M over flow matching", multi, Flow, 2.0, full(flow)),
        Subject {
            answer: Answer::Edm,
            ..subject("EDM Euler", "EDMEulerScheduler", Sigmas, 1.0, json!({}))
        },
        Subject {
            answer: Answer::Edm,
            ..subject(
                "EDM DPM++ 2M",
                "EDMDPMSolverMultistepScheduler",
                Sigmas,
                2.0,
                full(json!({})),
            )
        },
        Subject {
            answer: FLOW,
            ..subject(
                "Flow Heun",
                "FlowMatchHeunDiscreteScheduler",
                Timesteps,
                2.0,
                // the last step, of Euler, goes from the first timestep to 0
                json!({"num_train_timesteps": 1_000_000}),
            )
        },
    ]);
    for two in ["Heun", "DPM2", "Flow Heun"] {
        all.iter_mut().filter(|subject| subject.title == two).for_each(|one| one.evaluations = 2);
    }
    all
}

/// The stochastic solvers, with their weak orders.
pub(crate) fn stochastic() -> Vec<Subject> {
    use Space::*;
    let multi = "DPMSolverMultistepScheduler";
    let sde =
        |solver: &str| full(json!({"algorithm_type": "sde-dpmsolver++", "solver_type": solver}));
    let twice =
        |title, class| Subject { evaluations: 2, ..subject(title, class, Sigmas, 1.0, json!({})) };
    vec![
        subject("DDPM", "DDPMScheduler", Timesteps, 1.0, dense_to_clean()),
        subject("DDIM, eta 1", "DDIMScheduler", Timesteps, 1.0, dense(json!({}))),
        subject("Euler a", "EulerAncestralDiscreteScheduler", Sigmas, 1.0, json!({})),
        twice("DPM2 a", "KDPM2AncestralDiscreteScheduler"),
        twice("DPM++ 2S a", "DPMPP2SAncestralScheduler"),
        Subject { by_tree: true, order: 2.0, ..twice("DPM++ SDE", "DPMSolverSDEScheduler") },
        subject("DPM++ 2M SDE", multi, LogSnr, 2.0, sde("midpoint")),
        subject("DPM++ 2M SDE Heun", multi, LogSnr, 2.0, sde("heun")),
        subject("DPM++ 3M SDE", "DPMPP3MSDEScheduler", Sigmas, 2.0, json!({})),
        subject("SA-Solver 2", "SASolverScheduler", LogSnrMiddle, 1.0, full(json!({}))),
    ]
}
