"""Writes the full-size architecture of Stable Diffusion 1.5 with random weights, in f16, as diffusers saves it.

    python scripts/bench/random_sd15.py DIR

Speed and memory depend on shapes only, so no trained weights are needed to measure them. Same packages as
scripts/golden/requirements.txt.
"""

import pathlib
import shutil
import sys

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOKENIZER = pathlib.Path(__file__).parents[2] / "tests/fixtures/clip-tokenizer"


def components():
    torch.manual_seed(0)
    yield "unet", UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    yield "vae", AutoencoderKL(
        block_out_channels=[128, 256, 512, 512],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    yield "text_encoder", CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
            num_hidden_layers=12,
            projection_dim=768,
            vocab_size=49408,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )


def main(directory):
    parts = {name: model.to(torch.float16) for name, model in components()}
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        **parts,
        tokenizer=CLIPTokenizer.from_pretrained(TOKENIZER),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    shutil.rmtree(directory, ignore_errors=True)
    pipeline.save_pretrained(directory)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
