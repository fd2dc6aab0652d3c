"""Whole text-to-image runs of the tiny repositories: `pipeline_NAME.json` is the request, `.safetensors` the results."""

import contextlib
from unittest import mock

import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion as pipeline_module
import diffusers.schedulers.scheduling_ddim as ddim_module
import diffusers.schedulers.scheduling_euler_ancestral_discrete as ancestral_module
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)

from common import FIXTURES, randn, relative_error, save_json, save_tensors
from runs import bytes_of, measured, plain_config

PROMPT, NEGATIVE = "a lighthouse at dusk, highly detailed", "blurry, low quality"

BASE = dict(
    model="tiny-sd1",
    scheduler=None,
    scheduler_changes={},
    prompt=PROMPT,
    negative_prompt=NEGATIVE,
    steps=5,
    guidance_scale=7.5,
    guidance_rescale=0.0,
    width=64,
    height=64,
    seed=42,
    seeds=None,
    images_per_prompt=1,
    clip_skip=None,
    eta=0.0,
    initial_latents=False,
)
SD2 = dict(model="tiny-sd2", prompt="a red dragon over the sea!", negative_prompt=None)
KARRAS = dict(scheduler="DPMSolverMultistepScheduler", scheduler_changes=dict(use_karras_sigmas=True))

CASES = {
    "pndm": {},
    "ddim": dict(scheduler="DDIMScheduler"),
    "ddim_eta": dict(scheduler="DDIMScheduler", eta=0.7),
    "euler": dict(scheduler="EulerDiscreteScheduler"),
    "euler_ancestral": dict(scheduler="EulerAncestralDiscreteScheduler"),
    "heun": dict(scheduler="HeunDiscreteScheduler"),
    "dpmpp_2m": dict(scheduler="DPMSolverMultistepScheduler"),
    "dpmpp_2m_karras": KARRAS,
    "sd2_dpmpp_sde": SD2 | dict(scheduler="DPMSolverSDEScheduler", scheduler_changes=dict(noise_sampler_seed=2**40 + 3)),
    "unipc": dict(scheduler="UniPCMultistepScheduler"),
    "wide": dict(width=64, height=48, seed=2**32 + 7),
    "tall": dict(width=48, height=64, scheduler="EulerDiscreteScheduler"),
    "batch": dict(images_per_prompt=2),
    "two_prompts": dict(
        prompt=["a cat on a horse", "an old castle in the snow"],
        negative_prompt=["ugly", "person, people"],
        scheduler="DDIMScheduler",
    ),
    "prompts_times_images": dict(
        prompt=["a cat on a horse", "an old castle in the snow"],
        negative_prompt=None,
        images_per_prompt=2,
        scheduler="EulerDiscreteScheduler",
        width=32,
        height=32,
    ),
    "seeds": dict(images_per_prompt=2, seed=None, seeds=[3, 4], scheduler="DDIMScheduler"),
    "seeds_ancestral": dict(images_per_prompt=2, seed=None, seeds=[3, 4], scheduler="EulerAncestralDiscreteScheduler"),
    "clip_skip": dict(clip_skip=1, scheduler="DDIMScheduler"),
    "guidance_rescale": dict(guidance_rescale=0.7, images_per_prompt=2, scheduler="DDIMScheduler"),
    "guidance_off": dict(guidance_scale=1.0, scheduler="DDIMScheduler"),
    "initial_latents": dict(initial_latents=True, seed=None, scheduler="EulerDiscreteScheduler"),
    "empty_prompt": dict(prompt="", negative_prompt=None),
    "long_prompt": dict(prompt="a detailed photograph of the golden city under the stars, " * 12),
    "one_step": dict(steps=1, scheduler="EulerDiscreteScheduler", width=16, height=8),
    "sd2_ddim": SD2,
    "sd2_ddim_rescale": SD2 | dict(guidance_rescale=0.7, negative_prompt="dark!"),
    "sd2_euler_zero_snr": SD2
    | dict(
        scheduler="EulerDiscreteScheduler",
        scheduler_changes=dict(timestep_spacing="trailing", rescale_betas_zero_snr=True),
        guidance_rescale=0.7,
    ),
    "sd2_base": SD2 | dict(scheduler="DDIMScheduler", scheduler_changes=dict(prediction_type="epsilon")),
    "sd2_dpmpp_2m": SD2 | dict(scheduler="DPMSolverMultistepScheduler"),
}
# Images and embeddings are large: kept where they say something new.
WITH_FLOAT_IMAGE = ("pndm",)
WITH_IMAGE = WITH_FLOAT_IMAGE + ("sd2_ddim", "wide", "tall", "batch", "prompts_times_images", "one_step")
WITH_EMBEDS = (
    *("pndm", "two_prompts", "clip_skip", "empty_prompt", "long_prompt"),
    *("guidance_off", "sd2_ddim", "sd2_ddim_rescale"),
)

SCHEDULERS = {
    kind.__name__: kind
    for kind in (
        DDIMScheduler,
        EulerDiscreteScheduler,
        EulerAncestralDiscreteScheduler,
        HeunDiscreteScheduler,
        DPMSolverMultistepScheduler,
        DPMSolverSDEScheduler,
        UniPCMultistepScheduler,
    )
}


def load(request: dict) -> StableDiffusionPipeline:
    """The pipeline of a request, with its scheduler."""
    pipeline = StableDiffusionPipeline.from_pretrained(FIXTURES / request["model"], local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if request["scheduler"]:
        kind = SCHEDULERS[request["scheduler"]]
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **request["scheduler_changes"])
    # diffusers 0.42 reaches for `text_encoder.text_model`, which transformers 5 no longer has; set past
    # `nn.Module`, which would take it for a submodule of itself.
    object.__setattr__(pipeline.text_encoder, "text_model", pipeline.text_encoder)
    return pipeline


@contextlib.contextmanager
def recorded_noise(draws: list[torch.Tensor]):
    """Keeps every draw of random numbers, whoever makes it."""
    original = pipeline_module.randn_tensor

    def record(*args, **kwargs):
        draws.append(original(*args, **kwargs))
        return draws[-1].clone()

    with contextlib.ExitStack() as stack:
        for module in (pipeline_module, ddim_module, ancestral_module):
            stack.enter_context(mock.patch.object(module, "randn_tensor", record))
        yield


def generators(request: dict):
    """One generator for all images, one for each, or none."""
    if request["seeds"] is not None:
        return [torch.Generator("cpu").manual_seed(seed) for seed in request["seeds"]]
    return None if request["seed"] is None else torch.Generator("cpu").manual_seed(request["seed"])


def call(pipeline: StableDiffusionPipeline, request: dict, **others):
    """The pipeline's call for a request."""
    return pipeline(
        prompt=request["prompt"],
        negative_prompt=request["negative_prompt"],
        num_inference_steps=request["steps"],
        guidance_scale=request["guidance_scale"],
        guidance_rescale=request["guidance_rescale"],
        width=request["width"],
        height=request["height"],
        num_images_per_prompt=request["images_per_prompt"],
        clip_skip=request["clip_skip"],
        eta=request["eta"],
        **others,
    )


def execute(name: str, request: dict, pipeline: StableDiffusionPipeline) -> dict[str, torch.Tensor]:
    """One run with everything worth comparing."""
    tensors, draws, latents, embeds = {}, [], [], {}
    if request["initial_latents"]:
        shape = (request["images_per_prompt"], 4, request["height"] // 8, request["width"] // 8)
        tensors["input.latents"] = randn(f"{name}/latents", *shape)
    encode = pipeline.encode_prompt

    def keep_embeds(*args, **kwargs):
        embeds["prompt_embeds"], embeds["negative_prompt_embeds"] = encode(*args, **kwargs)
        return embeds["prompt_embeds"], embeds["negative_prompt_embeds"]

    def keep_latents(_pipeline, _index, _timestep, values):
        latents.append(values["latents"].clone())
        return values

    with recorded_noise(draws), mock.patch.object(pipeline, "encode_prompt", keep_embeds):
        images = call(
            pipeline,
            request,
            generator=generators(request),
            latents=tensors.get("input.latents"),
            output_type="np",
            callback_on_step_end=keep_latents,
            callback_on_step_end_tensor_inputs=["latents"],
        ).images
    if not request["initial_latents"]:
        tensors["input.noise"] = draws.pop(0)
    tensors |= {f"input.step_noise.{index}": draw for index, draw in enumerate(draws)}
    if name in WITH_EMBEDS:
        tensors |= {f"output.{key}": value for key, value in embeds.items() if value is not None}
    tensors |= {f"output.latents.{index}": value for index, value in enumerate(latents)}
    tensors["output.latents"] = latents[-1]
    image = bytes_of(name, images)
    if name in WITH_IMAGE:
        tensors["output.image_u8"] = image
    if name in WITH_FLOAT_IMAGE:
        tensors["output.image"] = torch.from_numpy(images)
    return tensors


def widen(pipeline: StableDiffusionPipeline) -> None:
    """Makes the U-Net compute in f64 inside, to see how much of the result is rounding."""
    forward = pipeline.unet.double().forward

    def wide(sample, timestep, encoder_hidden_states, **kwargs):
        output = forward(sample.double(), timestep, encoder_hidden_states=encoder_hidden_states.double(), **kwargs)
        return (output[0].float(),)

    pipeline.unet.forward = wide


def half_error(request: dict, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> float:
    """How far diffusers itself is from the f32 run when it computes in 16 bits, given the same noise."""
    pipeline = load(request).to(dtype)
    draws = [tensors[key] for key in sorted(tensors, key=step_of) if key.startswith(("input.noise", "input.step_noise"))]

    def replay(*_args, **_kwargs):
        return draws.pop(0).to(dtype)

    with contextlib.ExitStack() as stack:
        for module in (pipeline_module, ddim_module, ancestral_module):
            stack.enter_context(mock.patch.object(module, "randn_tensor", replay))
        given = tensors.get("input.latents")
        latents = call(pipeline, request, generator=None, output_type="latent", latents=None if given is None else given.to(dtype))
    return relative_error(latents.images.float(), tensors["output.latents"])


def step_of(key: str) -> int:
    """Order of the draws: the first noise, then that of the steps."""
    last = key.rsplit(".", 1)[-1]
    return int(last) if last.isdigit() else -1


def write_case(name: str, changes: dict) -> None:
    """One request and its results."""
    request = BASE | changes
    tensors, scheduler, error = measured(name, request, load, execute, widen)
    timesteps = scheduler.timesteps.tolist()
    save_tensors(f"pipeline_{name}.safetensors", tensors)
    report = {**request, "scheduler_config": plain_config(scheduler), "timesteps": timesteps, "f32_error": error}
    for key, dtype in (("f16_error", torch.float16), ("bf16_error", torch.bfloat16)):
        report[key] = half_error(request, tensors, dtype)
    save_json(f"pipeline_{name}.json", report)


def write() -> None:
    """All runs."""
    for name, changes in CASES.items():
        write_case(name, changes)
