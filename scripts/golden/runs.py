"""What all recorded runs of pipelines have in common."""

from collections.abc import Callable

import torch

from common import check_sane, relative_error

MAX_F32_ERROR = 1e-5
MAX_CLIPPED = 0.25


def plain_value(key: str, value) -> bool:
    """Whether a configuration entry can stand in JSON; diffusers writes its default of minus infinity there too."""
    return key != "_use_default_values" and value not in (float("inf"), float("-inf"))


def bytes_of(name: str, images) -> torch.Tensor:
    """The images as bytes, by numpy's rule, which is also that of diffusers: halves go to the even number."""
    clipped = float(((images == 0) | (images == 1)).mean())
    if clipped > MAX_CLIPPED:
        raise AssertionError(f"{name}: {clipped} of the image is clipped")
    return torch.from_numpy((images * 255).round().astype("uint8"))


def measured(name: str, request: dict, load: Callable, execute: Callable, widen: Callable):
    """A run's tensors, its scheduler, and how far it is from the same run in f64."""
    pipeline = load(request)
    tensors = execute(name, request, pipeline)
    check_sane(name, tensors["output.latents"], low=0.02, high=30.0)
    reference = load(request)
    widen(reference)
    error = relative_error(tensors["output.latents"], execute(name, request, reference)["output.latents"])
    if error > MAX_F32_ERROR:
        raise AssertionError(f"{name}: f32 is {error} from f64")
    return tensors, pipeline.scheduler, error


def plain_config(scheduler) -> dict:
    """A scheduler's configuration as JSON has it."""
    return {key: value for key, value in scheduler.config.items() if plain_value(key, value)}
