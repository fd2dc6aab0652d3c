"""Noise of other sources than torch's CPU generator: NumPy, torchsde's Brownian tree, the web UI's batches.

`noise/numpy`: `SEED` holds the first f64 numbers of `RandomState(SEED)` (words joined by `-` for a list of them),
`SEED/crc32` the checksum of the first 10000. `noise/nv`: two draws
of the web UI's source "NV" for each seed (`modules/rng_philox.py`, stated anew). `noise/brownian`: what diffusers' `BrownianTreeNoiseSampler` gives for the
steps of each case in `brownian.json`, one row for each. `noise/images`: batches by the rules of the web UI's
`modules/rng.py`, stated anew below, for the cases in `images.json`; draw 0 and draw 1. `torch_cuda` is written by
`noise_cuda.py`, where there is a GPU.
"""

import zlib

import numpy as np
import torch

from common import save_json, save_tensors

NUMPY_SEEDS = ([0], [42], [2**32 - 1], [7, 1], [1, 2, 3], list(range(700)))
NUMPY_KEPT = 48
NUMPY_COUNTED = 10_000

NV_SEEDS = (0, 42, 2**32 + 1, 2**64 - 1)
NV_SIZE = 300

# Sigmas of SD; a size under 16 goes through another path of torch's generator. One seed draws for the whole batch.
SIGMAS = [14.6146, 7.4921, 3.0183, 1.0, 0.4, 0.0291675]
FORTH_AND_BACK = [[14.6146, 3.0183], [0.4, 0.0291675], [0.0291675, 14.6146], [3.0183, 0.4], [1.0, 1.25], [14.6146, 3.0183]]
CASES = {
    "steps": {"shape": [1, 4, 2, 3], "sigmas": [0.0291675, 14.6146], "seeds": [42], "steps": list(zip(SIGMAS, SIGMAS[1:]))},
    "batch": {"shape": [2, 4, 2, 3], "sigmas": [0.0291675, 14.6146], "seeds": [2**40 + 1, 7], "steps": FORTH_AND_BACK},
    "few": {"shape": [1, 5], "sigmas": [0.0291675, 14.6146], "seeds": [0], "steps": FORTH_AND_BACK},
    # The bounds themselves are rounded to millionths, and 2^-7 lies in the middle of two.
    "fine": {"shape": [1, 16], "sigmas": [0.0078125, 700.00000012], "seeds": [3], "steps": [[0.0078125, 0.0078145], [700.0, 0.0234375], [651.3, 651.2]]},
    "log": {"shape": [1, 16], "sigmas": [0.0291675, 14.6146], "seeds": [5], "steps": FORTH_AND_BACK[:4], "transform": "-ln"},
}

IMAGES = {
    "plain": {"seeds": [5, 6], "latents": [4, 4, 6]},
    "varied": {"seeds": [5, 5], "variation_seeds": [9, 10], "strength": 0.3, "latents": [4, 4, 6]},
    "varied_little": {"seeds": [5, 5], "variation_seeds": [5], "strength": 0.3, "latents": [4, 4, 6]},
    "same_variation": {"seeds": [5], "variation_seeds": [5], "strength": 0.3, "latents": [4, 4, 6]},
    "larger": {"seeds": [5], "made_at": [4, 4], "latents": [4, 5, 9]},
    "smaller": {"seeds": [5, 6], "made_at": [7, 6], "latents": [4, 4, 5], "variation_seeds": [1, 2], "strength": 0.75},
    "step_delta": {"seeds": [5, 6], "step_delta": 31337, "latents": [4, 4, 6]},
    "negative_delta": {"seeds": [5, 6], "step_delta": -6, "latents": [4, 4, 6]},
}


def numpy_draws() -> dict[str, torch.Tensor]:
    """The legacy generator in f64."""
    tensors = {}
    for words in NUMPY_SEEDS:
        name = "700-words" if len(words) > 9 else "-".join(map(str, words))
        seed = words[0] if len(words) == 1 else words
        values = np.random.RandomState(seed).standard_normal(NUMPY_COUNTED)
        tensors[name] = torch.from_numpy(values[:NUMPY_KEPT].copy())
        tensors[f"{name}/crc32"] = torch.tensor([zlib.crc32(values.tobytes())])
    return tensors


def philox(counter: list[np.ndarray], key: list[int]) -> list[np.ndarray]:
    """Ten rounds of Philox 4x32, on words held in 64 bits."""
    low = np.uint64(2**32 - 1)
    for passed in range(10):
        keys = [np.uint64((word + passed * step) % 2**32) for word, step in zip(key, (0x9E3779B9, 0xBB67AE85))]
        products = [counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)]
        high = [product >> np.uint64(32) for product in products]
        counter = [high[1] ^ counter[1] ^ keys[0], products[1] & low, high[0] ^ counter[3] ^ keys[1], products[0] & low]
    return counter


def nv_draws(seed: int) -> torch.Tensor:
    """Two draws: Box and Muller in f64 over constants that were rounded to f32."""
    step, turn_step = (np.float32(2.3283064e-10).astype(float), np.float32(2.3283064e-10 * 6.2831855).astype(float))
    index, zero = np.arange(NV_SIZE, dtype=np.uint64), np.zeros(NV_SIZE, dtype=np.uint64)
    draws = []
    for draw in range(2):
        words = philox([zero + np.uint64(draw), zero, index, zero], [seed % 2**32, seed >> 32])
        uniform, angle = words[0] * step + step / 2, words[1] * turn_step + turn_step / 2
        draws.append((np.sqrt(-2.0 * np.log(uniform)) * np.sin(angle)).astype(np.float32))
    return torch.from_numpy(np.stack(draws))


def brownian(case: dict) -> torch.Tensor:
    """The noise of each step, by diffusers' sampler."""
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    shape, seeds = case["shape"], case["seeds"]
    transform = (lambda sigma: sigma.log().neg()) if case.get("transform") else (lambda sigma: sigma)
    seeds = seeds[0] if len(seeds) == 1 else seeds
    sampler = BrownianTreeNoiseSampler(torch.zeros(shape), *case["sigmas"], seed=seeds, transform=transform)
    return torch.stack([sampler(*torch.tensor(step)).flatten() for step in case["steps"]])


def turn(low: torch.Tensor, high: torch.Tensor, strength: float) -> torch.Tensor:
    """The web UI's slerp of `[channels, height, width]`, in f32: along the height, its lerp with swapped weights."""
    directions = [noise / torch.linalg.vector_norm(noise, dim=1, keepdim=True) for noise in (low, high)]
    cosine = (directions[0] * directions[1]).sum(1)
    if cosine.mean() > 0.9995:
        return strength * low + (1 - strength) * high
    angle = cosine.acos()[:, None]
    return ((1 - strength) * angle).sin() / angle.sin() * low + (strength * angle).sin() / angle.sin() * high


def middle(canvas: int, noise: int) -> tuple[slice, slice]:
    """Where a length lies on another one, and what of it."""
    offset = (canvas - noise) // 2
    length = noise if offset >= 0 else noise + 2 * offset
    to, source = max(offset, 0), max(-offset, 0)
    return slice(to, to + length), slice(source, source + length)


def images(case: dict) -> dict[str, torch.Tensor]:
    """The first two draws of a batch."""
    generator = lambda seed: torch.Generator("cpu").manual_seed(seed)
    latents = case["latents"]
    drawn = [latents[0], *case.get("made_at", latents[1:])]
    generators = [generator(seed) for seed in case["seeds"]]
    # A fresh generator makes the first draw of another size; that of the image goes on from a draw of its own size.
    canvases = [torch.randn(latents, generator=each) for each in generators]
    first = []
    for index, (seed, canvas) in enumerate(zip(case["seeds"], canvases)):
        noise = torch.randn(drawn, generator=generator(seed))
        if case.get("strength"):
            seeds = case["variation_seeds"]
            other = seeds[index] if index < len(seeds) else 0
            noise = turn(noise, torch.randn(drawn, generator=generator(other)), case["strength"])
        if drawn != latents:
            (rows, from_rows), (columns, from_columns) = (middle(*sizes) for sizes in zip(latents[1:], drawn[1:]))
            canvas[:, rows, columns] = noise[:, from_rows, from_columns]
            noise = canvas
        first.append(noise)
    if case.get("step_delta"):
        generators = [generator(seed + case["step_delta"]) for seed in case["seeds"]]
    second = [torch.randn(latents, generator=each) for each in generators]
    return {"0": torch.stack(first), "1": torch.stack(second)}


def write() -> None:
    """Writes `noise`, but for what needs a GPU."""
    save_tensors("noise/numpy.safetensors", numpy_draws())
    save_tensors("noise/nv.safetensors", {str(seed): nv_draws(seed) for seed in NV_SEEDS})
    save_json("noise/brownian.json", CASES)
    save_tensors("noise/brownian.safetensors", {name: brownian(case) for name, case in CASES.items()})
    save_json("noise/images.json", IMAGES)
    draws = {f"{name}/{draw}": value for name, case in IMAGES.items() for draw, value in images(case).items()}
    save_tensors("noise/images.safetensors", draws)
