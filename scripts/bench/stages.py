"""Times the stages of a generation in turns with its peers on the same cores: U-Net with guidance, decoding, text encoder.

    python scripts/bench/random_sd15.py target/sd15
    cargo build --release -p sd-cli
    python scripts/bench/stages.py target/sd15 --size 512 --rounds 2
    python scripts/bench/stages.py target/sd15 --size 256 --rounds 3 --peers diffusers openvino

Every contender is a process of its own in every round, in f32 and with the same number of threads; one run of each stage warms it up.
OpenVINO (`pip install openvino==2026.4.1`) reads models that the first call converts into `target/openvino-SIZE`; candle is built from
`scripts/bench/candle`. The first line is what these cores can do: torch's product of two f32 matrices of 4096×4096, in each round.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
STAGES = ["unet", "vae_decode", "text"]
RUNS = 2


def shapes(size):
    side = size // 8
    return {"unet": (2, 4, side, side), "vae_decode": (1, 4, side, side), "text": (2, 77)}


def torch_models(model, size):
    """A module and its inputs for each stage."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32, safety_checker=None)

    class Unet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = pipeline.unet

        def forward(self, sample, timestep, context):
            return self.model(sample, timestep, context, return_dict=False)[0]

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = pipeline.vae

        def forward(self, latents):
            return self.model.decode(latents, return_dict=False)[0]

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = pipeline.text_encoder

        def forward(self, ids):
            return self.model(ids)[0]

    torch.manual_seed(0)
    of = shapes(size)
    context = torch.randn(2, 77, pipeline.unet.config.cross_attention_dim)
    return {
        "unet": (Unet().eval(), (torch.randn(of["unet"]), torch.tensor([500.0, 500.0]), context)),
        "vae_decode": (Decoder().eval(), (torch.randn(of["vae_decode"]),)),
        "text": (Text().eval(), (torch.randint(49000, of["text"]),)),
    }


def timed(run):
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def diffusers(model, size, threads):
    import torch

    torch.set_num_threads(threads)
    with torch.no_grad():
        return {name: timed(lambda: module(*inputs)) for name, (module, inputs) in torch_models(model, size).items()}


def convert(model, size, folder):
    import openvino
    import torch

    with torch.no_grad():
        for name, (module, inputs) in torch_models(model, size).items():
            converted = openvino.convert_model(module, example_input=inputs, input=[tuple(value.shape) for value in inputs])
            openvino.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)


def openvino(model, size, threads):
    import numpy
    import openvino

    folder = ROOT / f"target/openvino-{size}"
    if not (folder / "text.xml").exists():
        # In a process of its own: what it takes of memory is not the contender's.
        subprocess.run([sys.executable, __file__, model, "--size", str(size), "--convert"], check=True)
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    found = {}
    for name in STAGES:
        compiled = core.compile_model(folder / f"{name}.xml", "CPU", options)
        request = compiled.create_infer_request()
        random = numpy.random.default_rng(0)
        inputs = []
        for port in compiled.inputs:
            kind = port.element_type.to_dtype()
            shape = tuple(port.shape)
            whole = numpy.issubdtype(kind, numpy.integer)
            inputs.append(random.integers(49000, size=shape).astype(kind) if whole else random.standard_normal(shape).astype(kind))
        found[name] = timed(lambda: request.infer(inputs))
        del request, compiled
    return found


def ours(sd, model, size):
    command = [sd, "bench", "--model", model, "--size", str(size), "--device", "cpu", "--runs", str(RUNS), "--json"]
    found = {}
    for stage in ["unet", "vae-decode", "text"]:
        report = json.loads(subprocess.run(command + ["--stage", stage], check=True, capture_output=True, text=True).stdout)
        found |= {name: times["median_ms"] for name, times in report["stages"].items()}
    return found


def candle(model, size):
    manifest = ROOT / "scripts/bench/candle/Cargo.toml"
    build = ["cargo", "run", "--release", "--quiet", "--manifest-path", str(manifest), "--target-dir", str(ROOT / "target/candle")]
    command = build + ["--", model, str(size), str(RUNS)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ceiling(threads):
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(4096, 4096), torch.randn(4096, 4096)
    return {"sgemm GFLOP/s": 2 * 4096**3 / timed(lambda: a @ b) / 1e6}


def contend(name, arguments):
    if name == "ours":
        return ours(arguments.sd, arguments.model, arguments.size)
    if name == "candle":
        return candle(arguments.model, arguments.size)
    command = [sys.executable, __file__, arguments.model, "--size", str(arguments.size), "--contender", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", nargs="*", default=["diffusers", "openvino", "candle"])
    parser.add_argument("--sd", default=str(ROOT / "target/release/sd"))
    parser.add_argument("--contender", choices=["diffusers", "openvino", "ceiling"], help=argparse.SUPPRESS)
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    threads = int(os.environ.get("RAYON_NUM_THREADS", os.cpu_count()))
    if arguments.convert:
        folder = ROOT / f"target/openvino-{arguments.size}"
        folder.mkdir(parents=True, exist_ok=True)
        return convert(arguments.model, arguments.size, folder)
    if arguments.contender == "ceiling":
        return print(json.dumps(ceiling(threads)))
    if arguments.contender:
        contender = {"diffusers": diffusers, "openvino": openvino}[arguments.contender]
        return print(json.dumps(contender(arguments.model, arguments.size, threads)))

    names = ["ours", *arguments.peers]
    found, ceilings = {name: [] for name in names}, []
    for _ in range(arguments.rounds):
        ceilings.append(contend("ceiling", arguments)["sgemm GFLOP/s"])
        for name in names:
            found[name].append(contend(name, arguments))
    print(f"torch sgemm: {statistics.median(ceilings):.0f} GFLOP/s ({min(ceilings):.0f}–{max(ceilings):.0f}), {threads} threads")
    print(f"{'ms':<12}" + "".join(f"{name:>26}" for name in names) + "".join(f"{'to ' + peer:>14}" for peer in arguments.peers))
    for stage in STAGES:
        times = {name: sorted(round[stage] for round in rounds) for name, rounds in found.items()}
        middle = {name: statistics.median(values) for name, values in times.items()}
        cells = [f"{middle[name]:.0f} ({values[0]:.0f}–{values[-1]:.0f})" for name, values in times.items()]
        ratios = [f"{middle['ours'] / middle[peer]:.2f}" for peer in arguments.peers]
        print(f"{stage:<12}" + "".join(f"{cell:>26}" for cell in cells) + "".join(f"{ratio:>14}" for ratio in ratios))


if __name__ == "__main__":
    main()
