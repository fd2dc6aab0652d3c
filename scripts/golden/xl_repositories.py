"""Whole model directories of SDXL in diffusers' layout: tiny-sdxl, tiny-sdxl-lcm and tiny-sdxl-refiner."""

import shutil
from pathlib import Path

from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import clip_vocabulary as bpe
import models
from common import FIXTURES, drop_private_paths, edit_json
from repositories import BETAS, small_vocabulary, tokenizer_folder

PAD_2 = "!"
# Keys of other classes in SDXL's file: they count when another scheduler is made from it.
FOREIGN_KEYS = dict(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
WIDTH, WIDTH_2, POOLED = 8, 12, 10
TIME_IDS, TIME_FEATURES = 6, 8
REFINER_TIME_IDS = 5


def scheduler() -> EulerDiscreteScheduler:
    """As SDXL ships it."""
    return EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)


def text_encoder() -> CLIPTextModel:
    """Of the kind of CLIP-L."""
    config = models.text_config(small_vocabulary(), hidden_size=WIDTH, intermediate_size=16)
    return models.text_model("sdxl-text", config)


def text_encoder_2() -> CLIPTextModelWithProjection:
    """Of the kind of OpenCLIP's bigG, with the ids that SDXL's file has."""
    config = models.text_config(
        small_vocabulary(),
        hidden_size=WIDTH_2,
        intermediate_size=24,
        num_attention_heads=3,
        hidden_act="gelu",
        projection_dim=POOLED,
        bos_token_id=0,
        eos_token_id=2,
    )
    return models.text_model_with_projection("sdxl-text-2", config)


def sdxl_unet(seed: str, **changes) -> UNet2DConditionModel:
    """As SDXL: no attention on the first level, several transformer blocks on the last, size scalars."""
    config = dict(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=(models.PLAIN, models.CROSS),
        up_block_types=(models.CROSS_UP, models.PLAIN_UP),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=[2, 4],
        transformer_layers_per_block=[1, 2],
        cross_attention_dim=WIDTH + WIDTH_2,
        use_linear_projection=True,
        upcast_attention=None,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_FEATURES,
        projection_class_embeddings_input_dim=POOLED + TIME_IDS * TIME_FEATURES,
    )
    return models.build_unet(seed, **(config | changes))


def refiner_unet() -> UNet2DConditionModel:
    """As the refiner: its own width, the second encoder only, one scalar fewer."""
    return sdxl_unet(
        "refiner-unet",
        block_out_channels=(6, 6),
        attention_head_dim=[1, 3],
        transformer_layers_per_block=1,
        cross_attention_dim=WIDTH_2,
        projection_class_embeddings_input_dim=POOLED + REFINER_TIME_IDS * TIME_FEATURES,
    )


def vae() -> AutoencoderKL:
    """With the scale of SDXL's."""
    return models.tiny_vae("sdxl-vae", scaling_factor=0.13025, force_upcast=True)


def finish(folder: Path) -> None:
    """What is left to do after a pipeline was saved."""
    edit_json(folder / "scheduler" / "scheduler_config.json", lambda config: config | FOREIGN_KEYS)
    drop_private_paths(folder)


def hub_tokenizers(folder: Path, *names: str) -> None:
    """Puts the small tokenizer's hub-style files in place of the saved ones."""
    for name in names:
        shutil.rmtree(folder / name)
        pad = bpe.EOS if name == "tokenizer" else PAD_2
        tokenizer_folder(folder / name, pad, fast=False)


def write_base() -> None:
    """tiny-sdxl."""
    folder = FIXTURES / "tiny-sdxl"
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = StableDiffusionXLPipeline(
        tokenizer=tokenizer_folder(folder / "tokenizer", bpe.EOS, fast=False),
        tokenizer_2=tokenizer_folder(folder / "tokenizer_2", PAD_2, fast=False),
        text_encoder=text_encoder(),
        text_encoder_2=text_encoder_2(),
        unet=sdxl_unet("sdxl-unet"),
        vae=vae(),
        scheduler=scheduler(),
        force_zeros_for_empty_prompt=True,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    hub_tokenizers(folder, "tokenizer", "tokenizer_2")
    finish(folder)


def write_lcm() -> None:
    """tiny-sdxl-lcm: a U-Net for the other parts of tiny-sdxl, with the guidance scale as an input."""
    folder = FIXTURES / "tiny-sdxl-lcm" / "unet"
    shutil.rmtree(folder.parent, ignore_errors=True)
    sdxl_unet("sdxl-lcm-unet", time_cond_proj_dim=6, transformer_layers_per_block=1).save_pretrained(folder)
    drop_private_paths(folder)


def write_refiner() -> None:
    """tiny-sdxl-refiner: index, scheduler and U-Net. The other parts are those of tiny-sdxl, as on the hub."""
    folder, base = FIXTURES / "tiny-sdxl-refiner", FIXTURES / "tiny-sdxl"
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = StableDiffusionXLImg2ImgPipeline(
        tokenizer=None,
        tokenizer_2=tokenizer_folder(folder / "tokenizer_2", PAD_2, fast=False),
        text_encoder=None,
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(base / "text_encoder_2", local_files_only=True),
        unet=refiner_unet(),
        vae=AutoencoderKL.from_pretrained(base / "vae", local_files_only=True),
        scheduler=scheduler(),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    for shared in ("tokenizer_2", "text_encoder_2", "vae"):
        shutil.rmtree(folder / shared)
    finish(folder)


def write() -> None:
    """All three."""
    write_base()
    write_lcm()
    write_refiner()
