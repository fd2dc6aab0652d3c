"""Whole runs of the SDXL repositories: `xl_NAME.json` is the request, `.safetensors` the results."""

import contextlib
import tempfile
from pathlib import Path
from unittest import mock

import diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl as base_module
import diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img as image_module
import diffusers.schedulers.scheduling_ddim as ddim_module
import diffusers.schedulers.scheduling_euler_ancestral_discrete as ancestral_module
import diffusers.schedulers.scheduling_lcm as lcm_module
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file

from common import FIXTURES, randn, relative_error, save_json, save_tensors
from pipelines import generators
from runs import bytes_of, measured, plain_config

PROMPT, NEGATIVE = "a lighthouse at dusk, highly detailed!", "blurry, low quality"
TWO = ["a cat on a horse", "an old castle in the snow"]

# `image`: None, "picture" (drawn here) or "latents" (those that run `latents_of` ended with).
BASE = dict(
    model="tiny-sdxl",
    scheduler=None,
    scheduler_changes={},
    prompt=PROMPT,
    prompt_2=None,
    negative_prompt=None,
    negative_prompt_2=None,
    steps=4,
    guidance_scale=5.0,
    guidance_rescale=0.0,
    width=64,
    height=48,
    seed=42,
    seeds=None,
    images_per_prompt=1,
    clip_skip=None,
    eta=0.0,
    original_size=None,
    crops_coords_top_left=None,
    target_size=None,
    negative_original_size=None,
    negative_crops_coords_top_left=None,
    negative_target_size=None,
    aesthetic_score=None,
    negative_aesthetic_score=None,
    denoising_end=None,
    denoising_start=None,
    strength=None,
    image=None,
    latents_of=None,
)
TRAILING = dict(timestep_spacing="trailing")
PICTURE = dict(image="picture", steps=10)
REFINER = dict(model="tiny-sdxl-refiner")

CASES = {
    "base": {},
    "two_prompts": dict(
        prompt=TWO,
        prompt_2=["in oil, by a master", "in the style of a woodcut"],
        negative_prompt=["ugly", "person, people"],
        negative_prompt_2=["text!", "frame"],
        images_per_prompt=2,
        width=32,
        height=32,
    ),
    "empty_negative": dict(negative_prompt="", width=48, height=64),
    "sizes": dict(
        negative_prompt=NEGATIVE,
        original_size=[1536, 1024],
        crops_coords_top_left=[64, 128],
        target_size=[768, 1280],
        negative_original_size=[256, 512],
        negative_crops_coords_top_left=[16, 8],
        negative_target_size=[2048, 640],
    ),
    "sizes_positive_only": dict(original_size=[512, 256], crops_coords_top_left=[32, 0], images_per_prompt=2),
    "clip_skip": dict(clip_skip=1, negative_prompt=NEGATIVE, scheduler="DDIMScheduler"),
    "rescale": dict(guidance_rescale=0.7, seed=None, seeds=[3, 4], images_per_prompt=2, width=32),
    "turbo": dict(scheduler="EulerAncestralDiscreteScheduler", scheduler_changes=TRAILING, guidance_scale=0.0, steps=2),
    "lightning": dict(scheduler="EulerDiscreteScheduler", scheduler_changes=TRAILING, guidance_scale=0.0),
    "lcm": dict(model="tiny-sdxl-lcm", scheduler="LCMScheduler", guidance_scale=8.0),
    "base_end": dict(denoising_end=0.6, steps=10, images_per_prompt=2),
    "base_image": PICTURE | dict(strength=0.5, scheduler="DDIMScheduler", original_size=[96, 80], negative_prompt=NEGATIVE),
    "refiner_start": REFINER
    | dict(image="latents", latents_of="base_end", denoising_start=0.6, steps=10, images_per_prompt=2),
    "refiner_ancestral": REFINER
    | dict(
        image="latents",
        latents_of="base_end",
        denoising_start=0.6,
        denoising_end=0.9,
        steps=20,
        images_per_prompt=2,
        scheduler="EulerAncestralDiscreteScheduler",
    ),
    "base_end_dpmpp": dict(denoising_end=0.6, steps=8, scheduler="DPMSolverMultistepScheduler"),
    "refiner_dpmpp": REFINER
    | dict(
        image="latents",
        latents_of="base_end_dpmpp",
        denoising_start=0.6,
        steps=8,
        scheduler="DPMSolverMultistepScheduler",
    ),
    "base_end_pndm": dict(denoising_end=0.5, steps=10, scheduler="PNDMScheduler"),
    "refiner_pndm": REFINER
    | dict(image="latents", latents_of="base_end_pndm", denoising_start=0.5, steps=10, scheduler="PNDMScheduler"),
    "refiner_picture": REFINER | PICTURE | dict(strength=0.3, images_per_prompt=2, negative_prompt=NEGATIVE),
    "refiner_latents": REFINER
    | dict(
        image="latents",
        latents_of="base",
        strength=0.55,
        steps=6,
        scheduler="HeunDiscreteScheduler",
        crops_coords_top_left=[24, 40],
        aesthetic_score=7.5,
        negative_aesthetic_score=1.25,
    ),
    "refiner_seeds": REFINER | PICTURE | dict(strength=0.4, seed=None, seeds=[3, 4], images_per_prompt=2, clip_skip=1),
}
WITH_IMAGE = ("base", "turbo", "base_image", "refiner_start", "refiner_picture")
WITH_EMBEDS = ("two_prompts", "clip_skip")
SIZES = "original_size crops_coords_top_left target_size".split()
SIZES += [f"negative_{name}" for name in SIZES]
SCORES = ["aesthetic_score", "negative_aesthetic_score"]

SCHEDULERS = {
    kind.__name__: kind
    for kind in (
        DDIMScheduler,
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        LCMScheduler,
        PNDMScheduler,
    )
}


def unet(name: str) -> UNet2DConditionModel:
    """The U-Net of a repository."""
    return UNet2DConditionModel.from_pretrained(FIXTURES / name / "unet", local_files_only=True)


def directory(name: str, assembled: Path) -> Path:
    """The whole repository; those that hold only what is their own are put together with tiny-sdxl."""
    own, base = FIXTURES / name, FIXTURES / "tiny-sdxl"
    if own == base:
        return base
    refiner = name == "tiny-sdxl-refiner"
    for part in base.iterdir():
        if not (refiner and part.name in ("tokenizer", "text_encoder")):
            (assembled / part.name).symlink_to(part)
    for part in own.iterdir():
        (assembled / part.name).unlink()
        (assembled / part.name).symlink_to(part)
    return assembled


def load(request: dict):
    """The pipeline of a request, with its scheduler."""
    refiner = request["model"] == "tiny-sdxl-refiner"
    kind = StableDiffusionXLImg2ImgPipeline if refiner or request["image"] else StableDiffusionXLPipeline
    with tempfile.TemporaryDirectory() as assembled:
        pipeline = kind.from_pretrained(directory(request["model"], Path(assembled)), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    if request["scheduler"]:
        kind = SCHEDULERS[request["scheduler"]]
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **request["scheduler_changes"])
    return pipeline


def picture(name: str, request: dict) -> torch.Tensor:
    """A smooth picture, `[1, height, width, 3]` bytes."""
    coarse = randn(f"{name}/picture", 1, 3, request["height"] // 8, request["width"] // 8)
    fine = torch.nn.functional.interpolate(coarse, (request["height"], request["width"]), mode="bilinear")
    return (127.5 + 60 * fine).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def inputs(name: str, request: dict) -> dict[str, torch.Tensor]:
    """What the run starts from, beside noise."""
    if request["image"] == "picture":
        return {"input.picture": picture(name, request)}
    if request["image"] == "latents":
        return {"input.source": load_file(FIXTURES / f"xl_{request['latents_of']}.safetensors")["output.latents"]}
    return {}


def source(given: dict[str, torch.Tensor]) -> dict:
    """The same as an argument of the call."""
    if "input.picture" in given:
        return dict(image=[Image.fromarray(image.numpy()) for image in given["input.picture"]])
    return dict(image=given["input.source"].clone()) if given else {}


def arguments(request: dict) -> dict:
    """Those arguments of the call that are given."""
    names = "prompt prompt_2 negative_prompt negative_prompt_2 guidance_scale guidance_rescale clip_skip eta".split()
    names += SIZES + "denoising_end denoising_start strength".split()
    values = {name: request[name] for name in names + SCORES if request[name] is not None}
    values |= {name: tuple(values[name]) for name in SIZES if name in values}
    values |= dict(num_inference_steps=request["steps"], num_images_per_prompt=request["images_per_prompt"])
    return values if request["image"] else values | dict(width=request["width"], height=request["height"])


@contextlib.contextmanager
def drawn(draw):
    """Puts `draw(original, shape, ...)` in the place of every draw of random numbers."""
    with contextlib.ExitStack() as stack:
        for module in (base_module, image_module, ddim_module, ancestral_module, lcm_module):
            original = module.randn_tensor
            stack.enter_context(
                mock.patch.object(module, "randn_tensor", lambda *a, original=original, **k: draw(original, *a, **k))
            )
        yield


def execute(name: str, request: dict, pipeline) -> dict[str, torch.Tensor]:
    """One run with everything worth comparing."""
    given, embeds, latents = inputs(name, request), {}, []
    encode = pipeline.encode_prompt

    def keep_embeds(*args, **kwargs):
        values = encode(*args, **kwargs)
        keys = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        embeds.update(zip(keys, values))
        return values

    def keep_latents(_pipeline, _index, _timestep, values):
        latents.append(values["latents"].clone())
        return values

    with mock.patch.object(pipeline, "encode_prompt", keep_embeds):
        images = pipeline(
            **arguments(request),
            **source(given),
            generator=generators(request),
            output_type="np",
            callback_on_step_end=keep_latents,
            callback_on_step_end_tensor_inputs=["latents"],
        ).images
    tensors = given | {"output.latents": latents[-1]}
    if name in WITH_EMBEDS:
        tensors |= {f"output.{key}": value for key, value in embeds.items()}
    image = bytes_of(name, images)
    if name in WITH_IMAGE:
        tensors["output.image_u8"] = image
    return tensors


def widen(pipeline) -> None:
    """Makes the U-Net compute in f64 inside, to see how much of the result is rounding."""
    forward = pipeline.unet.double().forward
    double = lambda value: value.double() if isinstance(value, torch.Tensor) else value

    def wide(sample, timestep, encoder_hidden_states, timestep_cond=None, added_cond_kwargs=None, **kwargs):
        added = {key: double(value) for key, value in added_cond_kwargs.items()}
        context, condition = double(encoder_hidden_states), double(timestep_cond)
        output = forward(
            sample.double(), timestep, context, timestep_cond=condition, added_cond_kwargs=added, **kwargs
        )
        return (output[0].float(),)

    pipeline.unet.forward = wide


def half_error(request: dict, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> float:
    """How far diffusers itself is from the f32 run when it computes in 16 bits, given the same noise."""
    pipeline = load(request).to(dtype)
    given = {key: value for key, value in tensors.items() if key.startswith("input.")}

    def in_f32(original, *args, **kwargs):
        return original(*args, **(kwargs | dict(dtype=torch.float32))).to(dtype)

    arrange = dict(generator=generators(request), output_type="latent")
    with drawn(in_f32):
        latents = pipeline(**arguments(request), **source(given), **arrange).images
    return relative_error(latents.float(), tensors["output.latents"])


def write_case(name: str, changes: dict) -> None:
    """One request and its results."""
    request = BASE | changes
    tensors, scheduler, error = measured(name, request, load, execute, widen)
    save_tensors(f"xl_{name}.safetensors", tensors)
    report = {**request, "scheduler_config": plain_config(scheduler), "f32_error": error}
    for key, dtype in (("f16_error", torch.float16), ("bf16_error", torch.bfloat16)):
        report[key] = half_error(request, tensors, dtype)
    save_json(f"xl_{name}.json", report)


def write() -> None:
    """All runs, in order: some start from the latents of others."""
    for name, changes in CASES.items():
        write_case(name, changes)
