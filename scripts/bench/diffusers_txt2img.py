"""Makes an image with diffusers on the CPU and prints the times of its stages as `sd txt2img --verbose` does."""

import argparse
import time

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    stamps = [time.perf_counter()]

    def lap(stage):
        stamps.append(time.perf_counter())
        print(f"{stage} in {stamps[-1] - stamps[-2]:.3f} s", flush=True)

    pipeline = StableDiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32, safety_checker=None)
    # One evaluation for each step; the model's own PNDM takes two for the first.
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    lap("loaded")

    def after_step(_pipeline, index, _timestep, values):
        if index == 0:
            lap("first step")
        return values

    with torch.no_grad():
        embeddings = pipeline.encode_prompt("a lighthouse at dusk", "cpu", 1, True, negative_prompt="blurry")
        lap("encoded")
        latents = pipeline(
            prompt_embeds=embeddings[0],
            negative_prompt_embeds=embeddings[1],
            width=arguments.size,
            height=arguments.size,
            num_inference_steps=arguments.steps,
            generator=torch.Generator("cpu").manual_seed(0),
            callback_on_step_end=after_step,
            output_type="latent",
        ).images
        lap("other steps")
        pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor)
        lap("decoded")


if __name__ == "__main__":
    main()
