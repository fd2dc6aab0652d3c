"""Times the stages of a generation on an NVIDIA GPU in turns with diffusers: one call of the U-Net with guidance, one decoding.

    cargo build --release -p sd-cli --no-default-features --features cuda
    python scripts/bench/gpu.py --arch sd15 --size 512 --dtype f16
    python scripts/bench/gpu.py --arch sdxl --size 1024 --stages unet

Both have random weights of full size. Ours is a process of its own in every round; diffusers runs as it comes (eager) and, as the U-Net
can be so used, with `--graph` as a CUDA graph of the same kernels, which leaves out the time that its Python takes.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

ROOT = pathlib.Path(__file__).parents[2]
UNETS = {
    "sd15": dict(cross_attention_dim=768, attention_head_dim=8),
    "sdxl": dict(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    ),
}
VAE = dict(
    block_out_channels=(128, 256, 512, 512),
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    layers_per_block=2,
    latent_channels=4,
)


def unet_call(arch, side, dtype):
    with torch.device("cuda"):
        model = UNet2DConditionModel(sample_size=side, **UNETS[arch]).to(dtype).eval()
        sample = torch.randn(2, 4, side, side, dtype=dtype)
        context = torch.randn(2, 77, UNETS[arch]["cross_attention_dim"], dtype=dtype)
        timestep = torch.tensor([500, 500])
        added = None
        if arch == "sdxl":
            added = {"text_embeds": torch.randn(2, 1280, dtype=dtype), "time_ids": torch.ones(2, 6, dtype=dtype)}
    return lambda: model(sample, timestep, context, added_cond_kwargs=added, return_dict=False)


def decode_call(_, side, dtype):
    with torch.device("cuda"):
        model = AutoencoderKL(**VAE).to(dtype).eval()
        latents = torch.randn(1, 4, side, side, dtype=dtype)
    return lambda: model.decode(latents, return_dict=False)


CALLS = {"unet": unet_call, "vae_decode": decode_call}


def timed(run, count):
    times = []
    for _ in range(count):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def captured(run):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def ours(arguments, stage):
    command = [arguments.sd, "bench", "--arch", arguments.arch, "--device", "cuda", "--dtype", arguments.dtype, "--json"]
    command += ["--size", str(arguments.size), "--stage", stage.replace("_", "-"), "--runs", str(arguments.runs), "--warm-up", "3"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found["stages"][stage]["median_ms"], found["stages"][stage]["warm_up_ms"][0]


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=UNETS, default="sd15")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dtype", choices=["f16", "bf16"], default="f16")
    parser.add_argument("--stages", nargs="+", choices=CALLS, default=list(CALLS))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--graph", action="store_true")
    parser.add_argument("--sd", default=str(ROOT / "target/release/sd"))
    arguments = parser.parse_args()
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[arguments.dtype]

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {arguments.arch}, {arguments.size}, {arguments.dtype}")
    for stage in arguments.stages:
        run = CALLS[stage](arguments.arch, arguments.size // 8, dtype)
        timed(run, 3)
        contenders = {"diffusers": run}
        if arguments.graph:
            contenders["diffusers in a CUDA graph"] = captured(run)
        times = {name: [] for name in ["ours", *contenders]}
        for _ in range(arguments.rounds):
            median, first = ours(arguments, stage)
            times["ours"].append(median)
            for name, call in contenders.items():
                times[name].append(timed(call, arguments.runs))
        mine = statistics.median(times["ours"])
        for name, all_times in times.items():
            shown = ", ".join(f"{one:.2f}" for one in all_times)
            print(f"{stage}: {name} {statistics.median(all_times):.2f} ms ({shown}); ours / it {mine / statistics.median(all_times):.2f}")
        print(f"{stage}: ours, first call {first / 1e3:.1f} s")
        del run, contenders
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
