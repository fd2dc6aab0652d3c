"""Trajectories of diffusers' schedulers over a model that is a formula, and vectors of torch's CPU generator.

One JSON file per scheduler lists the cases in order (what is left out has the default of `DEFAULTS`; `base` is below every
`config`); the safetensors file beside it holds their numbers one after the other: `timesteps`, `sigmas` (schedulers that have
them), `init_noise_sigma` and `latents` (those after each evaluation). All noise of a case comes from one torch CPU
generator seeded 7: first the initial latents (with `begin` the clean ones, then the noise added to them), then that of the
steps. The cases themselves are in `scheduler_cases.py`; samplers that diffusers lacks come from `k_samplers.py`.
"""

import contextlib
import inspect
import zlib

import diffusers
import torch

from common import relative_error, save_json, save_tensors
from k_trajectories import reference_trajectory
from scheduler_cases import SAMPLERS, SD, cases
from scheduler_model import CHANNELS, SEED, model, offset, set_timesteps

DEFAULTS = {"eta": 0.0, "begin": 0, "batch": 1, "config": {}, "sigmas": 0}

# A reference that is itself further from exact arithmetic proves little; samplers in terms of sigmas lose digits in f32 at
# sigmas of thousands (zero-signal and cosine schedules), those in terms of noise and of high order a few, too.
MAX_F32_ERROR = 2e-5
MAX_F32_ERROR_AT_LARGE_SIGMAS = 1e-2
LARGE_SIGMA = 1000

GENERATOR_SEEDS = (0, 42, 2**32 + 1, 2**64 - 1)
GENERATOR_SIZES = (1, 15, 16, 17, 31, 64, 4 * 64 * 64)
# Short and long draws in turn: the second number of a pair waits for the next short draw.
GENERATOR_SEQUENCE = (3, 20, 1, 5, 16, 15, 33, 1)


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


TABLES_OF_A_SCHEDULER = (
    *("alphas_cumprod", "final_alpha_cumprod", "initial_alpha_cumprod", "sigmas", "alphas", "betas", "alpha_t", "sigma_t"),
    *("sigmas_interpol", "sigmas_up", "sigmas_down"),
)


@contextlib.contextmanager
def steps_in_f64(scheduler):
    """The scheduler's tables stay as they are in f32; the steps are computed in f64."""
    for name in TABLES_OF_A_SCHEDULER:
        if isinstance(getattr(scheduler, name, None), torch.Tensor):
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


def mixed(scheduler, clean: torch.Tensor, noise: torch.Tensor, begin: int, timesteps: torch.Tensor) -> torch.Tensor:
    """The latents that an image-to-image run begins with."""
    first = timesteps[:1].repeat(clean.shape[0])
    if isinstance(scheduler, diffusers.IPNDMScheduler):
        return scheduler.alphas[begin] * clean + scheduler.betas[begin] * noise
    if hasattr(scheduler, "add_noise"):
        return scheduler.add_noise(clean, noise, first)
    return scheduler.scale_noise(clean, first, noise)


def trajectory(cls, config: dict, one: dict, arithmetic=steps_in_f32) -> dict:
    """Runs one case."""
    scheduler = cls(**config)
    set_timesteps(scheduler, one)
    shape = (one["batch"], *CHANNELS)
    init_noise_sigma = torch.as_tensor(getattr(scheduler, "init_noise_sigma", 1.0), dtype=torch.float32)
    generator = torch.Generator("cpu").manual_seed(SEED)
    timesteps = begin_at(scheduler, one["begin"])
    if one["begin"]:
        clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
        sample = mixed(scheduler, clean, noise, one["begin"], timesteps)
    else:
        sample = torch.randn(shape, generator=generator) * init_noise_sigma
    parameters = inspect.signature(scheduler.step).parameters
    arguments = {"generator": generator} if "generator" in parameters else {}
    if "eta" in parameters:
        arguments["eta"] = one["eta"]
    scale = getattr(scheduler, "scale_model_input", lambda sample, _: sample)
    # The schedulers in terms of alphas keep no sigmas.
    sigmas = scheduler.sigmas if hasattr(scheduler, "sigmas") and not one["begin"] else torch.zeros(0)
    latents = []
    with arithmetic(scheduler) as dtype, noise_in_f32(cls):
        if cls is diffusers.DPMSolverSDEScheduler:
            # Its Brownian tree is seeded by itself; any unit noise will do for the formulas.
            scheduler.noise_sampler = lambda *_: torch.randn(shape, generator=generator).to(dtype)
        sample = sample.to(dtype)
        for timestep in timesteps:
            output = model(scale(sample, timestep), timestep)
            sample = scheduler.step(output, timestep, sample, **arguments).prev_sample
            if not torch.isfinite(sample).all():
                raise AssertionError(f"{cls.__name__} {config} {one}: not finite")
            latents.append(sample)
    return {
        "timesteps": timesteps.float(),
        "sigmas": sigmas.float(),
        "init_noise_sigma": init_noise_sigma.reshape(1),
        "latents": torch.stack(latents),
    }


def run(name: str, config: dict, one: dict) -> tuple[dict, float]:
    """The numbers of a case, and how far they are from the same steps in f64."""
    cls = SAMPLERS[name].cls
    if isinstance(cls, str):
        return reference_trajectory(cls, config, one), 0.0
    result = trajectory(cls, config, one)
    exact = trajectory(cls, config, one, arithmetic=steps_in_f64)
    if not exact["latents"].any():
        return result, 0.0
    return result, relative_error(result["latents"], exact["latents"])


def write_trajectories(name: str) -> None:
    """All cases of one scheduler."""
    sampler = SAMPLERS[name]
    listed, tensors = [], {}
    for one in cases(name):
        config = {**sampler.base, **one["config"]}
        result, f32_error = run(name, config, one)
        large = result["sigmas"].numel() > 0 and result["sigmas"].max() > LARGE_SIGMA
        if f32_error > (MAX_F32_ERROR_AT_LARGE_SIGMAS if large else MAX_F32_ERROR):
            raise AssertionError(f"{name} {one}: in f32 {f32_error} from f64")
        one["counts"] = [len(result["timesteps"]), len(result["latents"]), len(result["sigmas"])]
        one["f32_error"] = float(f"{f32_error:.1e}")
        listed.append({key: value for key, value in one.items() if key not in DEFAULTS or value != DEFAULTS[key]})
        for key, value in result.items():
            tensors.setdefault(key, []).append(value.flatten().float())
    file = {"class": sampler.name, "base": sampler.base, "cases": listed}
    save_json(f"schedulers/{name}.json", file, indent=None)
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
    {"beta_schedule": "sigmoid"},
    {"beta_schedule": "laplace"},
    {"beta_schedule": "laplace", "num_train_timesteps": 50},
)


def write_tables() -> None:
    """The f32 tables that models are trained with: checksums, and those in full whose last bits hang on torch's functions."""
    tables, full = [], {}
    for index, config in enumerate(TABLES):
        table = diffusers.DDPMScheduler(**config).alphas_cumprod
        one = {"config": {"_class_name": "DDPMScheduler", **config}, "crc32": zlib.crc32(table.numpy().tobytes())}
        tables.append(one)
        if config.get("rescale_betas_zero_snr") or config.get("beta_schedule") == "sigmoid":
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


def write(chosen: list[str] | None = None) -> None:
    """`schedulers/*`, or some of the trajectories."""
    for name in chosen or SAMPLERS:
        write_trajectories(name)
    if not chosen:
        save_tensors("schedulers/model.safetensors", {"offset": offset(2)})
        write_tables()
        write_generator()


if __name__ == "__main__":
    import sys

    import common
    import versions

    versions.check("torch", "diffusers", "numpy", "safetensors", "scipy", "torchsde")
    common.prepare_torch()
    write(sys.argv[1:])
