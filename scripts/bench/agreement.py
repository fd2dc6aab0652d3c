"""Compares a full-size model in `sd txt2img` with diffusers, from the same latents: how far the results are apart.

    python scripts/bench/random_sd15.py target/sd15
    cargo build --release -p sd-cli
    python scripts/bench/agreement.py target/sd15 --size 512 --steps 2

The tests compare tiny models; only large images take the ways that are there for large images.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).parents[2]
PROMPT = "a lighthouse at dusk"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--sd", default=str(ROOT / "target/release/sd"))
    arguments = parser.parse_args()

    side = arguments.size // 8
    start = torch.randn(1, 4, side, side, generator=torch.manual_seed(1))
    pipeline = StableDiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    # A pipeline that is made with such a scheduler turns `clip_sample` off, too; one that is given it afterwards does not.
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    settings = {"num_inference_steps": arguments.steps, "guidance_scale": 7.5, "latents": start}
    expected = pipeline(PROMPT, output_type="latent", **settings).images
    with torch.no_grad():
        image = pipeline.vae.decode(expected / pipeline.vae.config.scaling_factor).sample
    image = ((image[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1) * 255).round().numpy()

    with tempfile.TemporaryDirectory() as directory:
        paths = {name: f"{directory}/{name}" for name in ("start", "end", "image.png")}
        save_file({"latents": start}, paths["start"])
        command = [arguments.sd, "txt2img", "--model", arguments.model, "--prompt", PROMPT, "--device", "cpu"]
        command += ["--width", str(arguments.size), "--height", str(arguments.size), "--scheduler", "ddim"]
        command += ["--steps", str(arguments.steps), "--init-latents", paths["start"]]
        command += ["--save-latents", paths["end"], "--out", paths["image.png"]]
        subprocess.run(command, check=True)
        found = load_file(paths["end"])["latents"]
        bytes_found = numpy.asarray(Image.open(paths["image.png"])).astype(numpy.float32)

    print(f"latents, relative L2: {((found - expected).norm() / expected.norm()).item():.2e}")
    print(f"image, largest difference of a byte: {int(numpy.abs(bytes_found - image).max())}")


if __name__ == "__main__":
    main()
