"""What each scheduler is tried on: the cases of `schedulers.py`."""

from dataclasses import dataclass, field

import diffusers

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = ("linspace", "leading", "trailing")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
WITHOUT_SAMPLE = ("epsilon", "v_prediction")
RULES = ("karras", "exponential", "beta")
# Samplers of which Karras' rule is held together with other settings, too.
KARRAS_IN_FULL = ("euler", "heun", "dpm_multistep")
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@dataclass
class Sampler:
    """A class of diffusers (or of this project, with the function of `k_samplers.py`), and what it supports."""

    cls: type | str
    base: dict = field(default_factory=lambda: dict(SD))
    spacings: tuple = SPACINGS
    predictions: tuple = PREDICTIONS
    rules: tuple = ()
    zero_snr: bool = False
    betas: bool = True
    cosine: bool = True
    begins: bool = True
    short: int = 2
    long: int = 25

    @property
    def name(self) -> str:
        """The class name."""
        return self.cls if isinstance(self.cls, str) else self.cls.__name__


def like(cls, **changes) -> Sampler:
    """A sampler in terms of sigmas, with all their rules."""
    return Sampler(cls, **{"rules": RULES, **changes})


SAMPLERS = {
    "ddim": Sampler(diffusers.DDIMScheduler, {**SD, "clip_sample": False}, zero_snr=True),
    "ddim_inverse": Sampler(
        # Prediction of the sample divides by the noise of the first level, which is 0 unless it is told otherwise.
        diffusers.DDIMInverseScheduler, {**SD, "clip_sample": False}, ("leading", "trailing"), WITHOUT_SAMPLE, begins=False
    ),
    "ddpm": Sampler(diffusers.DDPMScheduler, {**SD, "clip_sample": False}, zero_snr=True),
    "pndm": Sampler(diffusers.PNDMScheduler, {**SD, "skip_prk_steps": True}, predictions=WITHOUT_SAMPLE),
    "ipndm": Sampler(diffusers.IPNDMScheduler, {}, (), (), betas=False),
    "lms": like(diffusers.LMSDiscreteScheduler, begins=False),
    "euler": like(diffusers.EulerDiscreteScheduler, zero_snr=True),
    "euler_ancestral": Sampler(
        diffusers.EulerAncestralDiscreteScheduler, predictions=WITHOUT_SAMPLE, zero_snr=True
    ),
    "heun": like(diffusers.HeunDiscreteScheduler),
    "dpm2": like(diffusers.KDPM2DiscreteScheduler, predictions=WITHOUT_SAMPLE),
    # Over the cosine schedule, whose sigmas are of tens of thousands, this class takes roots of negative numbers; over two
    # steps, of what rounding leaves of a difference.
    "dpm2_ancestral": like(diffusers.KDPM2AncestralDiscreteScheduler, predictions=WITHOUT_SAMPLE, cosine=False, short=4),
    "dpm_multistep": like(diffusers.DPMSolverMultistepScheduler, zero_snr=True),
    "dpm_singlestep": like(diffusers.DPMSolverSinglestepScheduler, spacings=()),
    "dpm_sde": like(diffusers.DPMSolverSDEScheduler, predictions=WITHOUT_SAMPLE),
    "deis": like(diffusers.DEISMultistepScheduler),
    "unipc": like(diffusers.UniPCMultistepScheduler, zero_snr=True),
    "sa_solver": like(diffusers.SASolverScheduler),
    "lcm": Sampler(diffusers.LCMScheduler, {}, (), long=20),
    "tcd": Sampler(diffusers.TCDScheduler, {}, (), long=20),
    "edm_euler": Sampler(diffusers.EDMEulerScheduler, {}, (), WITHOUT_SAMPLE, betas=False),
    "edm_dpm": Sampler(diffusers.EDMDPMSolverMultistepScheduler, {}, (), WITHOUT_SAMPLE, betas=False),
    "flow_euler": Sampler(
        diffusers.FlowMatchEulerDiscreteScheduler, {"shift": 3.0}, (), (), RULES, betas=False
    ),
    "flow_heun": Sampler(diffusers.FlowMatchHeunDiscreteScheduler, {"shift": 3.0}, (), (), betas=False),
    "flow_lcm": Sampler(diffusers.FlowMatchLCMScheduler, {"shift": 3.0}, (), (), RULES, betas=False),
    # Not in diffusers: by the formulas of `k_samplers.py`, over the sigmas of diffusers' Euler.
    "lms_begin": like("LMSDiscreteScheduler", spacings=("linspace",)),
    "restart": like("RestartScheduler"),
    "dpm_2s_ancestral": like("DPMPP2SAncestralScheduler"),
    "dpm_3m_sde": like("DPMPP3MSDEScheduler"),
    "euler_cfg": like("EulerCFGPPScheduler"),
    "dpm_2m_cfg": like("DPMPP2MCFGPPScheduler"),
}


def case(steps: int, eta: float = 0.0, begin: int = 0, batch: int = 1, **config) -> dict:
    """One case; `timesteps`, `sigmas` and `mu` belong to the request, the rest goes over the class's configuration."""
    request = {key: config.pop(key) for key in ("timesteps", "sigmas", "mu") if key in config}
    return {"steps": steps, "eta": eta, "begin": begin, "batch": batch, **request, "config": config}


def common_cases(name: str) -> list[dict]:
    """What every scheduler is tried on, as far as it supports it."""
    sampler = SAMPLERS[name]
    cases = []
    spaced = [{"timestep_spacing": spacing} for spacing in sampler.spacings] or [{}]
    predicted = [{"prediction_type": prediction} for prediction in sampler.predictions] or [{}]
    for prediction in predicted:
        for spacing in spaced:
            for steps in (1, sampler.short, 10, sampler.long) if prediction == predicted[0] else (sampler.short, 10):
                cases.append(case(steps, **prediction, **spacing))
    if "leading" in sampler.spacings:
        cases += [
            case(20, timestep_spacing="leading", steps_offset=1),
            case(7, timestep_spacing="leading", steps_offset=1),
            case(30, timestep_spacing="trailing"),
        ]
    if sampler.betas:
        cases.append(case(10, beta_schedule="linear", beta_start=0.0001, beta_end=0.02))
        if sampler.cosine:
            cases.append(case(10, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"))
        if sampler.spacings:
            cases += [
                case(10, num_train_timesteps=40),
                case(4, num_train_timesteps=8, trained_betas=[0.01, 0.02, 0.05, 0.05, 0.1, 0.15, 0.2, 0.3]),
            ]
    if sampler.begins:
        for spacing, begin in (("leading", 1), ("leading", 4), ("linspace", 3), ("trailing", 9)):
            if spacing in sampler.spacings:
                cases.append(case(10, begin=begin, timestep_spacing=spacing, steps_offset=1))
            elif not sampler.spacings and spacing == "leading":
                cases.append(case(10, begin=begin))
    if sampler.zero_snr:
        for spacing in sampler.spacings:
            cases.append(
                case(10, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing=spacing)
            )
    for rule in sampler.rules:
        switch = {f"use_{rule}_sigmas": True}
        for spacing in spaced:
            counts = (1, sampler.short, 10, 25) if rule == "karras" else (1, 10)
            cases += [case(steps, **switch, **spacing) for steps in counts]
        # SA-Solver's class adds noise by the rounded timestep, not by the sigma that it then takes the latents to be at.
        if sampler.begins and name != "sa_solver":
            cases.append(case(8, begin=3, **switch))
        if sampler.betas:
            cases.append(case(8, prediction_type="v_prediction", **switch))
        if sampler.betas and sampler.cosine:
            cases.append(case(8, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", **switch))
    if name in KARRAS_IN_FULL:
        karras = {"use_karras_sigmas": True}
        cases += [
            case(8, begin=3, prediction_type="v_prediction", **karras),
            case(8, beta_schedule="squaredcos_cap_v2", prediction_type="sample", **karras),
        ]
    if name == "dpm_multistep":
        cases.append(case(10, batch=2, prediction_type="sample", **THRESHOLD))
    return cases


def multistep_cases() -> list[dict]:
    """What DPM-Solver's multistep classes share."""
    return [
        *(case(n, solver_type="heun") for n in (2, 10, 20)),
        *(case(n, solver_order=order) for order in (1, 3) for n in (1, 2, 3, 10, 20)),
        *(case(n) for n in (14, 15, 16)),
        *(case(10, batch=2, prediction_type=kind, **THRESHOLD) for kind in ("epsilon", "v_prediction")),
        *(case(n, algorithm_type="sde-dpmsolver++", solver_type=kind) for n in (2, 10) for kind in ("midpoint", "heun")),
        *(case(n, final_sigmas_type="sigma_min") for n in (1, 10, 20)),
        *(case(n, final_sigmas_type="sigma_min", lower_order_final=False) for n in (10, 20)),
        case(10, final_sigmas_type="sigma_min", euler_at_final=True, lower_order_final=False),
    ]


def own_cases(name: str) -> list[dict]:
    """What only one scheduler has."""
    end = {"final_sigmas_type": "sigma_min"}
    if name == "ddim":
        return [
            *(case(10, eta=eta, prediction_type=kind) for eta in (0.3, 1.0) for kind in PREDICTIONS),
            case(10, eta=0.5, begin=4, steps_offset=1),
            case(10, eta=1.0, timestep_spacing="trailing", set_alpha_to_one=False),
            *(case(10, clip_sample=True, prediction_type=kind) for kind in PREDICTIONS),
            case(10, clip_sample=True, clip_sample_range=0.4, eta=0.7),
            *(case(10, batch=2, prediction_type=kind, **THRESHOLD) for kind in PREDICTIONS),
            case(10, set_alpha_to_one=False),
            case(10, set_alpha_to_one=False, steps_offset=1),
            case(4, eta=0.5, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"),
        ]
    if name == "ddim_inverse":
        return [
            case(10, clip_sample=True),
            *(case(10, set_alpha_to_one=False, steps_offset=1, prediction_type=kind) for kind in PREDICTIONS),
        ]
    if name == "ddpm":
        return [
            case(10, clip_sample=True),
            case(10, batch=2, **THRESHOLD),
            *(case(10, variance_type=kind) for kind in ("fixed_small_log", "fixed_large")),
            *(case(10, beta_schedule=kind, beta_start=0.0001, beta_end=0.02) for kind in ("sigmoid", "laplace")),
            case(4, timesteps=[900, 500, 30, 0]),
        ]
    if name == "pndm":
        prk = {"skip_prk_steps": False}
        return [
            *(case(n, timestep_spacing=spacing, **prk) for spacing in SPACINGS for n in (4, 10, 25)),
            case(10, prediction_type="v_prediction", steps_offset=1, **prk),
            case(3, steps_offset=1),
            case(4),
            case(10, set_alpha_to_one=True, prediction_type="v_prediction"),
            *(case(6, begin=begin) for begin in (2, 5)),
        ]
    if name == "euler":
        return [
            case(10, **end),
            case(10, interpolation_type="log_linear"),
            case(10, interpolation_type="log_linear", use_karras_sigmas=True),
            *(case(10, sigma_min=0.1, sigma_max=10.0, **{f"use_{rule}_sigmas": True}) for rule in RULES),
            case(10, timestep_type="continuous", prediction_type="v_prediction"),
            case(10, rescale_betas_zero_snr=True, timestep_spacing="trailing"),
            case(5, timesteps=[999, 700, 400, 100, 3]),
            case(10, sigmas=diffusers.schedulers.AysSchedules["StableDiffusionSigmas"]),
            case(3, sigmas=[9.0, 3.0, 1.0, 0.2], begin=1),
        ]
    if name == "heun":
        return [
            *(case(10, clip_sample=True, clip_sample_range=range_) for range_ in (1.0, 3.0)),
            case(4, timesteps=[999, 600, 200, 10]),
        ]
    if name == "dpm_multistep":
        return [
            *multistep_cases(),
            case(10, final_sigmas_type="sigma_min", solver_order=3, lower_order_final=False),
            *(case(10, algorithm_type="sde-dpmsolver++", begin=4, prediction_type=kind) for kind in PREDICTIONS),
            case(10, algorithm_type="sde-dpmsolver++", solver_order=3),
            case(20, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True),
            *(case(n, algorithm_type="dpmsolver", solver_order=order, **end) for order in (1, 2, 3) for n in (2, 10, 20)),
            *(case(10, algorithm_type="dpmsolver", prediction_type=kind, **end) for kind in PREDICTIONS),
            case(10, algorithm_type="dpmsolver", solver_type="heun", **end),
            case(10, algorithm_type="dpmsolver", batch=2, **end, **THRESHOLD),
            *(case(10, algorithm_type="sde-dpmsolver", solver_type=kind, **end) for kind in ("midpoint", "heun")),
            *(case(10, lambda_min_clipped=-2.0, timestep_spacing=spacing) for spacing in SPACINGS),
            *(case(10, use_lu_lambdas=True, prediction_type=kind) for kind in PREDICTIONS),
            *(case(10, flow_shift=shift, **FLOW) for shift in (1.0, 3.0)),
            case(10, mu=0.8, use_dynamic_shifting=True, **FLOW),
            case(10, solver_order=3, begin=2, **{**FLOW, "prediction_type": "epsilon"}),
            case(5, timesteps=[999, 700, 400, 100, 3]),
        ]
    if name == "dpm_singlestep":
        orders = [
            case(n, solver_order=order, lower_order_final=lower)
            for order in (1, 3) for n in (1, 2, 3, 9, 10, 11) for lower in (False, True)
        ]
        return [
            *orders,
            *(case(n, lower_order_final=True) for n in (9, 10)),
            case(10, num_train_timesteps=40),
            *(case(n, solver_order=3, **end) for n in (9, 12)),
            *(case(12, solver_order=order, solver_type="heun", **end) for order in (2, 3)),
            *(case(12, solver_order=order, algorithm_type="dpmsolver", solver_type=kind, **end)
              for order in (1, 2, 3) for kind in ("midpoint", "heun")),
            *(case(12, solver_order=order, algorithm_type="sde-dpmsolver++", solver_type=kind, **end)
              for order in (1, 2, 3) for kind in ("midpoint", "heun")),
            *(case(10, solver_order=3, begin=begin) for begin in (1, 2, 3, 4)),
            case(10, batch=2, **THRESHOLD),
            case(10, lambda_min_clipped=-2.0),
            case(10, flow_shift=3.0, **FLOW),
            case(5, timesteps=[999, 700, 400, 100, 3]),
        ]
    if name == "deis":
        return [
            *(case(n, solver_order=order) for order in (1, 3) for n in (1, 2, 3, 10, 20)),
            *(case(n) for n in (14, 15, 16)),
            *(case(10, batch=2, prediction_type=kind, **THRESHOLD) for kind in ("epsilon", "v_prediction")),
            case(10, lower_order_final=False),
            case(10, flow_shift=3.0, **FLOW),
            case(10, solver_order=3, begin=3),
        ]
    if name == "unipc":
        return [
            *(case(n, solver_order=order) for order in (1, 2, 3) for n in (2, 3, 10)),
            # Down to zero noise, diffusers multiplies 0 by an infinite B(h) of this form.
            *(case(n, solver_order=order, solver_type="bh1", **end) for order in (1, 2, 3) for n in (2, 3, 10)),
            *(case(10, predict_x0=False, solver_order=order, prediction_type=kind, **end)
              for order in (2, 3) for kind in PREDICTIONS),
            *(case(n, **end) for n in (1, 10)),
            case(10, use_karras_sigmas=True, **end),
            case(10, lower_order_final=False, **end),
            case(10, solver_order=3, disable_corrector=[0, 1, 4]),
            case(10, batch=2, **THRESHOLD),
            *(case(10, flow_shift=shift, **FLOW) for shift in (1.0, 3.0)),
            case(10, use_karras_sigmas=True, **FLOW),
            case(10, mu=0.8, use_dynamic_shifting=True, **FLOW),
            case(10, mu=1.5, use_dynamic_shifting=True, time_shift_type="linear", shift_terminal=0.1, **FLOW),
            case(10, flow_shift=3.0, **FLOW, **end),
            case(4, sigmas=[1.0, 0.7, 0.5, 0.1, 0.0], flow_shift=3.0, **FLOW),
            case(10, solver_order=3, begin=3),
            case(10, sigma_min=0.1, sigma_max=10.0, use_karras_sigmas=True),
        ]
    if name == "sa_solver":
        return [
            *(case(n, predictor_order=p, corrector_order=c) for p in (1, 2, 3, 4) for c in (1, 2, 3, 4) for n in (3, 10)),
            *(case(10, algorithm_type="noise_prediction", predictor_order=p, corrector_order=c, prediction_type=kind)
              for p, c in ((1, 1), (2, 2), (3, 4)) for kind in PREDICTIONS),
            case(10, lower_order_final=False),
            case(10, batch=2, **THRESHOLD),
            case(10, lambda_min_clipped=-2.0),
            case(10, flow_shift=3.0, **FLOW),
            case(10, predictor_order=3, begin=3),
        ]
    if name == "lcm":
        return [
            case(4, original_inference_steps=100),
            case(4, timestep_scaling=2.0),
            case(4, clip_sample=True, clip_sample_range=0.5),
            case(4, batch=2, **THRESHOLD),
            case(4, rescale_betas_zero_snr=True, prediction_type="v_prediction"),
            case(3, timesteps=[999, 499, 99]),
        ]
    if name == "tcd":
        return [
            *(case(n, eta=eta, prediction_type=kind) for n in (1, 4) for eta in (0.3, 1.0) for kind in PREDICTIONS),
            case(4, eta=0.3, begin=2),
            case(3, eta=0.3, timesteps=[999, 499, 99]),
        ]
    if name == "edm_euler":
        return [
            case(10, sigma_schedule="exponential"),
            case(10, **end),
            case(10, rho=5.0, sigma_min=0.01, sigma_max=20.0, sigma_data=1.0),
        ]
    if name == "edm_dpm":
        return [*multistep_cases(), case(10, sigma_schedule="exponential"), case(10, sigma_data=1.0, begin=4)]
    if name in ("flow_euler", "flow_lcm"):
        return [
            case(28),
            case(10, shift=1.0),
            case(10, shift_terminal=0.02),
            case(10, mu=0.8, use_dynamic_shifting=True),
            case(10, mu=1.5, use_dynamic_shifting=True, time_shift_type="linear", shift_terminal=0.1),
            case(4, sigmas=[1.0, 0.7, 0.5, 0.1, 0.0]),
            case(4, timesteps=[1000.0, 700.0, 500.0, 100.0]),
            *([case(10, invert_sigmas=True), case(10, stochastic_sampling=True)] if name == "flow_euler" else []),
        ]
    if name == "restart":
        return [*(case(n) for n in (19, 20, 35, 36)), case(36, begin=30), case(20, use_karras_sigmas=True)]
    return []


def cases(name: str) -> list[dict]:
    """All cases of one scheduler."""
    return common_cases(name) + own_cases(name)
