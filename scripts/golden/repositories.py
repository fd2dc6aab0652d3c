"""Whole model directories in diffusers' layout: tiny-sd1, tiny-sd2 and tiny-sd1-fp16."""

import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTokenizer

import clip_vocabulary as bpe
import models
from common import FIXTURES, drop_private_paths, edit_json

MERGES = 240
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
SHARD_SIZE = "25KB"


# Keys of the shipped scheduler files. What they leave out (above all `timestep_spacing`) another scheduler class
# takes from its own defaults when it is made from them.
SD1_SCHEDULER_KEYS = """_class_name _diffusers_version beta_end beta_schedule beta_start num_train_timesteps
set_alpha_to_one skip_prk_steps steps_offset trained_betas clip_sample""".split()
SD2_SCHEDULER_KEYS = SD1_SCHEDULER_KEYS + ["prediction_type"]


def sd1_scheduler() -> PNDMScheduler:
    """As SD 1.5 ships it."""
    return PNDMScheduler(**BETAS, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1)


def sd2_scheduler() -> DDIMScheduler:
    """As SD 2.1-768 ships it."""
    return DDIMScheduler(
        **BETAS, clip_sample=False, prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1
    )


def tokenizer_folder(folder: Path, pad: str, fast: bool) -> CLIPTokenizer:
    """The small tokenizer's files: those of the hub's repositories, and `tokenizer.json` if `fast`."""
    bpe.write_vocabulary(folder, bpe.learn_merges(bpe.SMALL_CORPUS, MERGES))
    bpe.write_token_files(folder, pad=pad, config_pad=bpe.EOS)
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if fast:
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return tokenizer


def keep_keys(path: Path, keys: list[str], **more) -> None:
    """Cuts a configuration down to the keys that old files hold, and adds some that they hold."""
    edit_json(path, lambda config: {key: value for key, value in config.items() if key in keys} | more)


def assemble(name: str, pad: str, fast: bool, **parts) -> Path:
    """Saves a pipeline, then puts the small tokenizer's hub-style files in place of the saved ones."""
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = tokenizer_folder(folder / "tokenizer", pad, fast)
    pipeline = StableDiffusionPipeline(
        tokenizer=tokenizer, safety_checker=None, feature_extractor=None, requires_safety_checker=False, **parts
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    shutil.rmtree(folder / "tokenizer")
    tokenizer_folder(folder / "tokenizer", pad, fast)
    drop_private_paths(folder)
    return folder


def small_vocabulary() -> dict[str, int]:
    """The vocabulary of both tiny repositories."""
    return bpe.vocabulary(bpe.learn_merges(bpe.SMALL_CORPUS, MERGES))


def write_sd1() -> None:
    """tiny-sd1, with the short configuration files of SD 1.5."""
    folder = assemble(
        "tiny-sd1",
        pad=bpe.EOS,
        fast=True,
        vae=models.tiny_vae("sd1-vae"),
        text_encoder=models.text_model("sd1-text", models.text_config(small_vocabulary())),
        unet=models.sd1_unet(),
        scheduler=sd1_scheduler(),
    )
    keep_keys(folder / "unet" / "config.json", models.SD1_UNET_KEYS)
    keep_keys(folder / "vae" / "config.json", models.SD1_VAE_KEYS)
    keep_keys(folder / "scheduler" / "scheduler_config.json", SD1_SCHEDULER_KEYS, clip_sample=False)


def write_sd2() -> None:
    """tiny-sd2: padding "!" named in one tokenizer file only, no tokenizer.json, the text ids that SD 2.1 has."""
    config = models.text_config(
        small_vocabulary(),
        hidden_size=12,
        intermediate_size=48,
        num_attention_heads=3,
        hidden_act="gelu",
        projection_dim=8,
        bos_token_id=0,
        eos_token_id=2,
    )
    folder = assemble(
        "tiny-sd2",
        pad="!",
        fast=False,
        vae=models.tiny_vae("sd2-vae"),
        text_encoder=models.text_model("sd2-text", config),
        unet=models.sd2_unet(),
        scheduler=sd2_scheduler(),
    )
    # SD 2.1's file names a key of another class too.
    keep_keys(folder / "scheduler" / "scheduler_config.json", SD2_SCHEDULER_KEYS, skip_prk_steps=True)


def write_fp16() -> None:
    """The U-Net of tiny-sd1 in f16, as variant `fp16`, in shards."""
    folder = FIXTURES / "tiny-sd1-fp16" / "unet"
    shutil.rmtree(folder.parent, ignore_errors=True)
    unet = UNet2DConditionModel.from_pretrained(FIXTURES / "tiny-sd1" / "unet", local_files_only=True)
    unet.to(torch.float16).save_pretrained(folder, variant="fp16", max_shard_size=SHARD_SIZE)
    drop_private_paths(folder)


def write() -> None:
    """All three."""
    write_sd1()
    write_sd2()
    write_fp16()
