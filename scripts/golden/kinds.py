"""Runs that start from more than noise: pictures by SD 1.x, SD 2's depth model and the x4 upscaler, with the last two's directories.

`kind_NAME.json` is the request of a run, `.safetensors` what it starts from and its results.
"""

import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionDepth2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

import models
from common import FIXTURES, drop_private_paths, randn, save_json, save_tensors
from pipelines import generators, widen
from repositories import BETAS
from runs import bytes_of, measured, plain_config
from xl import picture

TEXT = FIXTURES / "tiny-sd2"
SMALL_UNET = dict(
    sample_size=8,
    block_out_channels=(4, 8),
    layers_per_block=1,
    norm_num_groups=2,
    cross_attention_dim=12,
    use_linear_projection=True,
)
BASE = dict(
    scheduler=None,
    scheduler_changes={},
    prompt="a red dragon over the sea!",
    negative_prompt="dark",
    steps=5,
    guidance_scale=7.5,
    width=64,
    height=48,
    seed=42,
    seeds=None,
    images_per_prompt=1,
    strength=None,
    noise_level=None,
)
IMAGE = dict(model="tiny-sd1", images_per_prompt=2)
SCHEDULERS = {
    kind.__name__: kind for kind in (DPMSolverSDEScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler)
}
DEPTH = dict(model="tiny-sd2-depth", strength=0.8)
UPSCALER = dict(model="tiny-upscaler", width=16, height=8, noise_level=20)

CASES = {
    "image": IMAGE | dict(strength=0.6, steps=7, negative_prompt="blurry"),
    "image_seeds": IMAGE | dict(strength=0.5, seed=None, seeds=[3, 4], scheduler="EulerAncestralDiscreteScheduler"),
    "image_sde": IMAGE
    | dict(
        strength=0.5,
        guidance_scale=3.0,
        images_per_prompt=1,
        width=32,
        height=32,
        scheduler="DPMSolverSDEScheduler",
        scheduler_changes=dict(noise_sampler_seed=7),
    ),
    "depth": DEPTH | dict(images_per_prompt=2),
    "depth_euler": DEPTH | dict(scheduler="EulerDiscreteScheduler", strength=0.5),
    "upscaler": UPSCALER | dict(images_per_prompt=2),
    "upscaler_unguided": UPSCALER | dict(noise_level=47, guidance_scale=1.0, scheduler="EulerDiscreteScheduler"),
}
WITH_IMAGE = ("image", "depth", "upscaler")


def save_parts(folder: Path, index: dict, **parts) -> None:
    """Writes the components that are not tiny-sd2's, and an index."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    save_json(folder / "model_index.json", index)
    drop_private_paths(folder)


def index(kind: str, **changes) -> dict:
    """An index like that of tiny-sd2."""
    base = {
        "_class_name": kind,
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    return base | changes


def write_repositories() -> None:
    """tiny-sd2-depth and tiny-upscaler; text encoder and tokenizer, and the depth model's VAE, are those of tiny-sd2."""
    depth_unet = models.build_unet(
        "sd2-depth-unet",
        **SMALL_UNET,
        in_channels=5,
        down_block_types=(models.CROSS, models.PLAIN),
        up_block_types=(models.PLAIN_UP, models.CROSS_UP),
        attention_head_dim=[2, 4],
    )
    pndm = PNDMScheduler(**BETAS, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1)
    save_parts(
        FIXTURES / "tiny-sd2-depth",
        index(
            "StableDiffusionDepth2ImgPipeline",
            depth_estimator=["transformers", "DPTForDepthEstimation"],
            feature_extractor=["transformers", "DPTImageProcessor"],
            scheduler=["diffusers", "PNDMScheduler"],
        ),
        unet=depth_unet,
        scheduler=pndm,
    )
    upscaler_unet = models.build_unet(
        "upscaler-unet",
        **SMALL_UNET,
        in_channels=7,
        down_block_types=(models.PLAIN, models.CROSS),
        up_block_types=(models.CROSS_UP, models.PLAIN_UP),
        attention_head_dim=2,
        only_cross_attention=[True, False],
        num_class_embeds=50,
    )
    blocks = dict(down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3)
    vae = models.tiny_vae("upscaler-vae", **blocks, block_out_channels=(4, 4, 4), sample_size=32, scaling_factor=0.08333)
    betas = BETAS | dict(beta_start=0.0001, beta_end=0.02)
    ddim = DDIMScheduler(
        **betas, clip_sample=False, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1
    )
    save_parts(
        FIXTURES / "tiny-upscaler",
        index(
            "StableDiffusionUpscalePipeline",
            scheduler=["diffusers", "DDIMScheduler"],
            low_res_scheduler=["diffusers", "DDPMScheduler"],
            max_noise_level=48,
        ),
        unet=upscaler_unet,
        vae=vae,
        scheduler=ddim,
        low_res_scheduler=DDPMScheduler(**betas),
    )


def load(request: dict):
    """The pipeline of a request, with its scheduler."""
    pipeline = load_plain() if request["model"] == "tiny-sd1" else load_kind(request)
    pipeline.set_progress_bar_config(disable=True)
    if request["scheduler"]:
        kind = SCHEDULERS[request["scheduler"]]
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **request["scheduler_changes"])
    text_encoder = pipeline.text_encoder
    object.__setattr__(text_encoder, "text_model", text_encoder)  # see pipelines.load
    return pipeline


def load_plain() -> StableDiffusionImg2ImgPipeline:
    """SD 1.x."""
    return StableDiffusionImg2ImgPipeline.from_pretrained(FIXTURES / "tiny-sd1", local_files_only=True)


def load_kind(request: dict):
    """The depth model or the upscaler."""
    folder, local = FIXTURES / request["model"], dict(local_files_only=True)
    depth = request["model"] == "tiny-sd2-depth"
    kind = PNDMScheduler if depth else DDIMScheduler
    parts = dict(
        text_encoder=CLIPTextModel.from_pretrained(TEXT / "text_encoder", **local),
        tokenizer=CLIPTokenizer.from_pretrained(TEXT / "tokenizer", **local),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet", **local),
        vae=AutoencoderKL.from_pretrained((TEXT if depth else folder) / "vae", **local),
        scheduler=kind.from_pretrained(folder / "scheduler", **local),
    )
    if depth:
        return StableDiffusionDepth2ImgPipeline(**parts, depth_estimator=None, feature_extractor=None)
    low_res = DDPMScheduler.from_pretrained(folder / "low_res_scheduler", **local)
    return StableDiffusionUpscalePipeline(**parts, low_res_scheduler=low_res, max_noise_level=48)


def execute(name: str, request: dict, pipeline) -> dict[str, torch.Tensor]:
    """One run with everything worth comparing."""
    tensors = {"input.picture": picture(name, request)}
    more = {key: request[key] for key in ("strength", "noise_level") if request[key] is not None}
    if request["model"] == "tiny-sd2-depth":
        tensors["input.depth"] = 3 + 2 * randn(f"{name}/depth", 1, 20, 36)
        more |= dict(depth_map=tensors["input.depth"])
    latents = []

    def keep(_pipeline, _index, _timestep, values):
        latents.append(values["latents"].clone())
        return values

    if request["strength"] is not None:
        more |= dict(callback_on_step_end=keep, callback_on_step_end_tensor_inputs=["latents"])
    else:
        more |= dict(callback=lambda _index, _timestep, values: latents.append(values.clone()))
    images = pipeline(
        prompt=request["prompt"],
        negative_prompt=request["negative_prompt"],
        image=[Image.fromarray(image.numpy()) for image in tensors["input.picture"]],
        num_inference_steps=request["steps"],
        guidance_scale=request["guidance_scale"],
        num_images_per_prompt=request["images_per_prompt"],
        generator=generators(request),
        output_type="np",
        **more,
    ).images
    tensors["output.latents"] = latents[-1]
    image = bytes_of(name, images)
    if name in WITH_IMAGE:
        tensors["output.image_u8"] = image
    return tensors


def write_case(name: str, changes: dict) -> None:
    """One request and its results."""
    request = BASE | changes
    tensors, scheduler, error = measured(name, request, load, execute, widen)
    save_tensors(f"kind_{name}.safetensors", tensors)
    save_json(f"kind_{name}.json", {**request, "scheduler_config": plain_config(scheduler), "f32_error": error})


def write() -> None:
    """Everything of this module."""
    write_repositories()
    for name, changes in CASES.items():
        write_case(name, changes)
