"""What all trajectories of schedulers share: the model that is a formula, the seed, the request."""

import numpy as np
import torch

from common import randn

SEED = 7
CHANNELS = (2, 1, 3)


def offset(batch: int) -> torch.Tensor:
    """What makes the model more than a multiple of its input."""
    return randn("schedulers/offset", 2, *CHANNELS)[:batch]


def model(inputs: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Depends on input and timestep and is no multiple of the input."""
    factor = torch.cos(torch.as_tensor(timestep).double() / 100).to(inputs.dtype)
    return 0.3 * inputs * factor + 0.5 * offset(inputs.shape[0]).to(inputs.dtype)


def set_timesteps(scheduler, one: dict) -> None:
    """By the number of steps, or what the case has instead."""
    request = {}
    if "timesteps" in one:
        request["timesteps"] = one["timesteps"]
    elif "sigmas" in one:
        # Those of flow matching leave out the last, which is 0.
        has_last = "Euler" in type(scheduler).__name__ and "FlowMatch" not in type(scheduler).__name__
        request["sigmas"] = one["sigmas"] if has_last else np.array(one["sigmas"][:-1])
    else:
        request["num_inference_steps"] = one["steps"]
    if "mu" in one:
        request["mu"] = one["mu"]
    scheduler.set_timesteps(**request)
