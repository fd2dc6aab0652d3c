"""Trajectories of the samplers of `k_samplers.py`, in f64 over the sigmas of diffusers' Euler."""

import diffusers
import numpy as np
import torch

import k_samplers
from scheduler_model import CHANNELS, SEED, model, set_timesteps


def denoiser(scheduler, prediction: str):
    """The model of this file as k-diffusion calls one, and the timesteps that it is told."""
    alphas_cumprod = scheduler.alphas_cumprod
    log_sigmas = np.log(np.array(((1 - alphas_cumprod) / alphas_cumprod) ** 0.5))
    told = []
    own = dict(zip(scheduler.sigmas.double().tolist(), scheduler.timesteps.tolist()))

    def clean(x: torch.Tensor, sigma: float, output: torch.Tensor) -> torch.Tensor:
        if prediction == "epsilon":
            return x - sigma * output
        if prediction == "v_prediction":
            return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
        return output

    def denoise(x: torch.Tensor, sigma: float, between: bool = False):
        timestep = None if between else own.get(float(sigma))
        if timestep is None:
            timestep = float(scheduler._sigma_to_t(np.array(sigma), log_sigmas))
        told.append(timestep)
        output = model(x / (sigma**2 + 1) ** 0.5, torch.tensor(timestep))
        # Without guidance the model says something else.
        return clean(x, sigma, output), clean(x, sigma, 0.8 * output + 0.05)

    return denoise, told


def reference_trajectory(name: str, config: dict, one: dict) -> dict:
    """A case of a sampler that is written out in `k_samplers.py`, in f64 over the sigmas of diffusers' Euler."""
    scheduler = diffusers.EulerDiscreteScheduler(**config)
    steps = one["steps"]
    rounds = (0, 0)
    if name == "RestartScheduler":
        rounds = (steps // 4, 2) if steps >= 36 else (9, 1) if steps >= 20 else (0, 0)
    set_timesteps(scheduler, {**one, "steps": steps - rounds[0] * rounds[1]})
    init_noise_sigma = torch.as_tensor(scheduler.init_noise_sigma, dtype=torch.float32)
    sigmas = scheduler.sigmas.double().tolist()
    if name == "RestartScheduler":
        sigmas = k_samplers.restart_steps(sigmas, *rounds)
    sigmas = sigmas[one["begin"] :]
    generator = torch.Generator("cpu").manual_seed(SEED)
    shape = (one["batch"], *CHANNELS)
    draw = lambda: torch.randn(shape, generator=generator).double()
    if one["begin"]:
        first = sigmas[0][0] if name == "RestartScheduler" else sigmas[0]
        x = draw()
        x = x + first * draw()
    else:
        x = draw() * init_noise_sigma.double()
    denoise, told = denoiser(scheduler, config.get("prediction_type", "epsilon"))
    latents = list(k_samplers.SAMPLERS[name](denoise, x, sigmas, draw))
    return {
        "timesteps": torch.tensor(told),
        "sigmas": torch.zeros(0),
        "init_noise_sigma": init_noise_sigma.reshape(1),
        "latents": torch.stack(latents),
    }
