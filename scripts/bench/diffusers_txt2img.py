"""Times diffusers on the CPU as `sd txt2img` is timed: load, steps, decode, and memory; one line of JSON.

    python scripts/bench/diffusers_txt2img.py MODEL_DIR --size 256 --steps 4
"""

import argparse
import json
import time

import torch
from diffusers import StableDiffusionPipeline


def anonymous_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0]) * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()

    start = time.perf_counter()
    pipeline = StableDiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    loaded = time.perf_counter()
    peak = anonymous_bytes()

    stamps = []

    def after_step(_pipeline, _index, _timestep, values):
        nonlocal peak
        stamps.append(time.perf_counter())
        peak = max(peak, anonymous_bytes())
        return values

    with torch.no_grad():
        latents = pipeline(
            "a lighthouse at dusk",
            negative_prompt="blurry",
            width=arguments.size,
            height=arguments.size,
            num_inference_steps=arguments.steps,
            generator=torch.Generator("cpu").manual_seed(0),
            callback_on_step_end=after_step,
            output_type="latent",
        ).images
        decode_start = time.perf_counter()
        pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor)
        decoded = time.perf_counter()
    steps = sorted(b - a for a, b in zip(stamps, stamps[1:]))
    print(
        json.dumps(
            {
                "threads": torch.get_num_threads(),
                "load_s": round(loaded - start, 2),
                "step_s": round(steps[len(steps) // 2], 3),
                "decode_s": round(decoded - decode_start, 2),
                "anonymous_mib": peak // 2**20,
            }
        )
    )


if __name__ == "__main__":
    main()
