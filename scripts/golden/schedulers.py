"""Trajectories of diffusers' schedulers over a model that is a formula, and vectors of torch's CPU generator.

One JSON file per scheduler lists the cases in order; the safetensors file beside it holds their numbers one after the
other: `timesteps`, `sigmas` (schedulers that have them), `init_noise_sigma`, `start` (the latents that the run starts
from) and `latents` (those after each evaluation). All noise of a case comes from one torch CPU generator seeded 7:
first the initial latents (with `begin` the clean ones, then the noise added to them), then that of the steps.
"""

import contextlib
import inspect
import zlib

import diffusers
import torch

from common import randn, relative_error, save_json, save_tensors

SEED = 7
SHAPE = (1, 4, 2, 3)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = ("linspace", "leading", "trailing")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
CLASSES = {
    "ddim": (diffusers.DDIMScheduler, {"clip_sample": False}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
    "dpm_multistep": (diffusers.DPMSolverMultistepScheduler, {}),
}
WITHOUT_SAMPLE = ("pndm", "euler_ancestral")
WITH_ZERO_SNR = ("ddim", "euler", "euler_ancestral", "dpm_multistep")
WITH_KARRAS = ("euler", "heun", "dpm_multistep")

# A reference that is itself further from exact arithmetic proves little; Euler and Heun lose digits in f32 at sigmas of
# thousands (zero-signal and cosine schedules), and only there more is let through.
MAX_F32_ERROR = 5e-6
MAX_F32_ERROR_AT_LARGE_SIGMAS = 1e-2
LARGE_SIGMA = 1000

GENERATOR_SEEDS = (0, 42, 2**32 + 1, 2**64 - 1)
GENERATOR_SIZES = (1, 15, 16, 17, 31, 64, 4 * 64 * 64)
# Short and long draws in turn: the second number of a pair waits for the next short draw.
GENERATOR_SEQUENCE = (3, 20, 1, 5, 16, 15, 33, 1)


def model(inputs: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Depends on input and timestep and is no multiple of the input."""
    offset = randn("schedulers/offset", 2, *SHAPE[1:])[: inputs.shape[0]]
    return 0.3 * inputs * torch.cos(timestep.double() / 100).to(inputs.dtype) + 0.5 * offset.to(inputs.dtype)


def begin_at(scheduler, begin: int) -> torch.Tensor:
    """The timesteps from a step on.

    The index is given to the scheduler as image-to-image pipelines give it, for a whole run too: else it looks for the
    first timestep and takes the second of two equal ones, so that a sigma is left out.
    """
    position = begin * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(position)
    return scheduler.timesteps[position:]


class WideTorch:
    """`torch` with f64 where f32 is asked for."""

    def __getattr__(self, name: str):
        return getattr(torch, "float64" if name == "float32" else name)


@contextlib.contextmanager
def steps_in_f64(scheduler):
    """The scheduler's tables stay as they are in f32; the steps are computed in f64."""
    for name in ("alphas_cumprod", "final_alpha_cumprod", "sigmas"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, getattr(scheduler, name).double())
    module = inspect.getmodule(type(scheduler))
    module.torch = WideTorch()
    try:
        yield torch.float64
    finally:
        module.torch = torch


@contextlib.contextmanager
def noise_in_f32(cls):
    """Draws the noise of a step in f32 whatever the dtype of the step: torch draws other numbers in f64."""
    module = inspect.getmodule(cls)
    original = getattr(module, "randn_tensor", None)
    if original is not None:
        module.randn_tensor = lambda shape, generator, dtype, **_: torch.randn(shape, generator=generator).to(dtype)
    try:
        yield
    finally:
        if original is not None:
            module.randn_tensor = original


@contextlib.contextmanager
def steps_in_f32(scheduler):
    """As diffusers computes them."""
    yield torch.float32


def trajectory(cls, config: dict, steps: int, eta: float, begin: int, shape: tuple, arithmetic=steps_in_f32) -> dict:
    """Runs one case."""
    scheduler = cls(**config)
    scheduler.set_timesteps(steps)
    init_noise_sigma = torch.as_tensor(scheduler.init_noise_sigma, dtype=torch.float32)
    generator = torch.Generator("cpu").manual_seed(SEED)
    timesteps = begin_at(scheduler, begin)
    if begin:
        clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
        sample = scheduler.add_noise(clean, noise, timesteps[:1].repeat(shape[0]))
    else:
        sample = torch.randn(shape, generator=generator) * init_noise_sigma
    arguments = {"eta": eta} if eta else {}
    if cls in (diffusers.DDIMScheduler, diffusers.EulerAncestralDiscreteScheduler):
        arguments["generator"] = generator
    # The schedulers in terms of alphas keep no sigmas.
    sigmas = scheduler.sigmas if hasattr(scheduler, "sigmas") and not begin else torch.zeros(0)
    start, latents = sample, []
    with arithmetic(scheduler) as dtype, noise_in_f32(cls):
        sample = sample.to(dtype)
        for timestep in timesteps:
            output = model(scheduler.scale_model_input(sample, timestep), timestep)
            sample = scheduler.step(output, timestep, sample, **arguments).prev_sample
            if not torch.isfinite(sample).all():
                raise AssertionError(f"{cls.__name__} {config} {steps}: not finite")
            latents.append(sample)
    return {
        "timesteps": timesteps.float(),
        "sigmas": sigmas.float(),
        "init_noise_sigma": init_noise_sigma.reshape(1),
        "start": start,
        "latents": torch.stack(latents),
    }


def case(steps: int, eta: float = 0.0, begin: int = 0, shape: tuple = SHAPE, **config) -> dict:
    """One case; `config` goes over the class's own."""
    return {"steps": steps, "eta": eta, "begin": begin, "shape": shape, "config": config}


def common_cases(name: str) -> list[dict]:
    """What every scheduler is tried on."""
    cases = []
    for prediction in PREDICTIONS:
        if prediction == "sample" and name in WITHOUT_SAMPLE:
            continue
        for spacing in SPACINGS:
            for steps in (1, 2, 10, 25) if prediction == "epsilon" else (2, 10):
                cases.append(case(steps, prediction_type=prediction, timestep_spacing=spacing))
    cases += [
        case(20, timestep_spacing="leading", steps_offset=1),
        case(7, timestep_spacing="leading", steps_offset=1),
        case(30, timestep_spacing="trailing"),
        case(10, beta_schedule="linear", beta_start=0.0001, beta_end=0.02),
        case(10, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"),
        case(10, num_train_timesteps=40),
        case(4, num_train_timesteps=8, trained_betas=[0.01, 0.02, 0.05, 0.05, 0.1, 0.15, 0.2, 0.3]),
    ]
    for spacing, begin in (("leading", 1), ("leading", 4), ("linspace", 3), ("trailing", 9)):
        cases.append(case(10, begin=begin, timestep_spacing=spacing, steps_offset=1))
    if name in WITH_ZERO_SNR:
        for spacing in SPACINGS:
            cases.append(
                case(10, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing=spacing)
            )
    if name in WITH_KARRAS:
        for spacing in SPACINGS:
            for steps in (1, 2, 10, 25):
                cases.append(case(steps, use_karras_sigmas=True, timestep_spacing=spacing))
        cases.append(case(8, use_karras_sigmas=True, prediction_type="v_prediction", begin=3))
        cases.append(case(8, use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2", prediction_type="sample"))
    return cases


def own_cases(name: str) -> list[dict]:
    """What only one scheduler has."""
    threshold = {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5}
    pair = (2, *SHAPE[1:])
    if name == "ddim":
        return [
            *(case(10, eta=eta, prediction_type=kind) for eta in (0.3, 1.0) for kind in PREDICTIONS),
            case(10, eta=0.5, begin=4, steps_offset=1),
            case(10, eta=1.0, timestep_spacing="trailing", set_alpha_to_one=False),
            *(case(10, clip_sample=True, prediction_type=kind) for kind in PREDICTIONS),
            case(10, clip_sample=True, clip_sample_range=0.4, eta=0.7),
            *(case(10, shape=pair, prediction_type=kind, **threshold) for kind in PREDICTIONS),
            case(10, set_alpha_to_one=False),
            case(10, set_alpha_to_one=False, steps_offset=1),
            case(4, eta=0.5, rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"),
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
            case(10, final_sigmas_type="sigma_min"),
            case(10, interpolation_type="log_linear"),
            case(10, interpolation_type="log_linear", use_karras_sigmas=True),
            case(10, use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0),
            case(10, timestep_type="continuous", prediction_type="v_prediction"),
            case(10, rescale_betas_zero_snr=True, timestep_spacing="trailing"),
        ]
    if name == "heun":
        return [case(10, clip_sample=True, clip_sample_range=range_) for range_ in (1.0, 3.0)]
    if name == "dpm_multistep":
        return [
            *(case(n, solver_type="heun") for n in (2, 10, 20)),
            *(case(n, solver_order=order) for order in (1, 3) for n in (1, 2, 3, 10, 20)),
            *(case(n, final_sigmas_type="sigma_min") for n in (1, 10, 20)),
            *(case(n, final_sigmas_type="sigma_min", lower_order_final=False) for n in (10, 20)),
            case(10, final_sigmas_type="sigma_min", solver_order=3, lower_order_final=False),
            case(10, final_sigmas_type="sigma_min", euler_at_final=True, lower_order_final=False),
            *(case(n) for n in (14, 15, 16)),
            *(case(10, lambda_min_clipped=-2.0, timestep_spacing=spacing) for spacing in SPACINGS),
            *(case(10, shape=pair, prediction_type=kind, **threshold) for kind in PREDICTIONS),
        ]
    return []


def write_trajectories(name: str) -> None:
    """All cases of one scheduler."""
    cls, base = CLASSES[name]
    cases, tensors = [], {}
    for one in common_cases(name) + own_cases(name):
        config = {**SD, **base, **one["config"]}
        arguments = [config, one["steps"], one["eta"], one["begin"], one["shape"]]
        result = trajectory(cls, *arguments)
        exact = trajectory(cls, *arguments, arithmetic=steps_in_f64)
        f32_error = relative_error(result["latents"], exact["latents"])
        large = result["sigmas"].numel() > 0 and result["sigmas"].max() > LARGE_SIGMA
        if f32_error > (MAX_F32_ERROR_AT_LARGE_SIGMAS if large else MAX_F32_ERROR):
            raise AssertionError(f"{name} {one}: in f32 {f32_error} from f64")
        cases.append(
            {
                **{key: value for key, value in one.items() if key != "config"},
                "timesteps": len(result["timesteps"]),
                "sigmas": len(result["sigmas"]),
                "f32_error": f32_error,
                "config": {"_class_name": cls.__name__, **config},
            }
        )
        for key, value in result.items():
            tensors.setdefault(key, []).append(value.flatten())
    save_json(f"schedulers/{name}.json", cases, indent=None)
    save_tensors(f"schedulers/{name}.safetensors", {key: torch.cat(values) for key, values in tensors.items()})


TABLES = (
    SD,
    {},
    {**SD, "num_train_timesteps": 40},
    {**SD, "num_train_timesteps": 1},
    {"num_train_timesteps": 777},
    {"beta_schedule": "squaredcos_cap_v2"},
    {**SD, "rescale_betas_zero_snr": True},
    {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True},
    {"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.4]},
)


def write_tables() -> None:
    """The f32 tables that models are trained with: checksums, and those in full whose last bits hang on torch's `sqrt`."""
    tables, full = [], {}
    for index, config in enumerate(TABLES):
        table = diffusers.DDIMScheduler(**config).alphas_cumprod
        one = {"config": {"_class_name": "DDIMScheduler", **config}, "crc32": zlib.crc32(table.numpy().tobytes())}
        tables.append(one)
        if config.get("rescale_betas_zero_snr"):
            one["tensor"] = str(index)
            full[str(index)] = table
    save_json("schedulers/tables.json", tables, indent=None)
    save_tensors("schedulers/tables.safetensors", full)


def write_generator() -> None:
    """Draws of the CPU generator: short ones in full, all with the CRC-32 of their bytes."""
    checksums, tensors = [], {}
    for seed in GENERATOR_SEEDS:
        for size in GENERATOR_SIZES:
            values = torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed))
            checksums.append({"seed": str(seed), "size": size, "crc32": zlib.crc32(values.numpy().tobytes())})
            if size <= 64:
                tensors[f"{seed}/{size}"] = values
    generator = torch.Generator("cpu").manual_seed(42)
    tensors["sequence"] = torch.cat([torch.randn(size, generator=generator) for size in GENERATOR_SEQUENCE])
    save_json("schedulers/generator.json", {"draws": checksums, "sequence": GENERATOR_SEQUENCE}, indent=None)
    save_tensors("schedulers/generator.safetensors", tensors)


def write() -> None:
    """`schedulers/*`."""
    offset = randn("schedulers/offset", 2, *SHAPE[1:])
    save_tensors("schedulers/model.safetensors", {"offset": offset})
    for name in CLASSES:
        write_trajectories(name)
    write_tables()
    write_generator()


if __name__ == "__main__":
    import common
    import versions

    versions.check("torch", "diffusers", "numpy", "safetensors")
    common.prepare_torch()
    write()
