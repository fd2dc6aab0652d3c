"""A run of the demo model that the repository ships: diffusers opens `assets/demo-model` as it is."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from common import check_sane, save_tensors

MODEL = Path(__file__).parents[2] / "assets" / "demo-model"
PROMPT, NEGATIVE = "three red circles above a blue square", "a green background"


def write() -> None:
    """Final latents and picture of one request."""
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    latents = []

    def keep(_pipeline, _index, _timestep, values):
        latents.append(values["latents"].clone())
        return values

    images = pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=10,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(42),
        output_type="np",
        callback_on_step_end=keep,
    ).images
    check_sane("demo", latents[-1], low=0.02, high=30.0)
    tensors = {
        "output.latents": latents[-1],
        "output.image_u8": torch.from_numpy((images * 255).round().astype("uint8")),
    }
    save_tensors("demo.safetensors", tensors)
