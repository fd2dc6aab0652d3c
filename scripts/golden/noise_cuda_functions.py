"""Dumps what a CUDA device computes for `__sinf`, `__cosf` and `logf`, the functions inside `curand_normal4`.

    python scripts/golden/noise_cuda_functions.py --out FOLDER

`__sinf` is a table with quadratic interpolation inside the chip, whose values no document gives; the constants of
`crates/sd-schedulers/src/rng/cuda_functions.rs` were fitted to this dump. It is no fixture (some megabytes).

In `functions.safetensors`: `quarter/sin` and `quarter/cos` at k / 2^23 from 0 to just above pi / 2, as zlib-compressed
second differences of the bits (i32) of the results; `angle` with `sin` and `cos`, `fraction` with `log` and `sqrt`: windows of
consecutive floats and random arguments with the raw results. `kernel.sass`: the machine code of `curand_normal4` for some
generations, where nvcc is installed.
"""

import argparse
import math
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

STEP = 2.0**-23
COUNT = int((math.pi / 2 + 0.01) / STEP)
WINDOW = 2048
SOURCE = """
#include <curand_kernel.h>
extern "C" __global__ void draw(unsigned long long seed, unsigned long long offset, float4* out) {
    curandStatePhilox4_32_10_t state;
    curand_init(seed, blockIdx.x * blockDim.x + threadIdx.x, offset, &state);
    out[blockIdx.x * blockDim.x + threadIdx.x] = curand_normal4(&state);
}
"""


def functions() -> dict:
    """The device's functions over CUDA tensors, by torch's run-time compiler or CuPy's."""
    names = {"sin": "__sinf", "cos": "__cosf", "log": "logf", "sqrt": "sqrtf"}
    try:
        made = {
            name: torch.cuda.jiterator._create_jit_fn(f"template <typename T> T my_{name}(T x) {{ return {call}(x); }}")
            for name, call in names.items()
        }
        for function in made.values():
            function(torch.ones(4, device="cuda"))
        print("functions by jiterator")
        return made
    except Exception as error:  # whatever the compiler of this installation lacks
        print("jiterator:", error)
    import cupy

    def wrap(kernel):
        return lambda x: torch.from_dlpack(kernel(cupy.from_dlpack(x)))

    print("functions by cupy")
    return {
        name: wrap(cupy.ElementwiseKernel("float32 x", "float32 y", f"y = {call}(x)", f"my_{name}"))
        for name, call in names.items()
    }


def compressed(values: torch.Tensor) -> np.ndarray:
    """Second differences of the bits, as bytes."""
    bits = values.cpu().numpy().view(np.int32).astype(np.int64)
    second = np.diff(np.diff(bits, prepend=0), prepend=0).astype(np.int32)
    return np.frombuffer(zlib.compress(second.tobytes(), 9), dtype=np.uint8).copy()


def windows(starts: np.ndarray) -> np.ndarray:
    """Consecutive floats from each start on."""
    bits = starts.astype(np.float32).view(np.int32)[:, None] + np.arange(WINDOW, dtype=np.int32)[None]
    return bits.view(np.float32).reshape(-1)


def angles(rng: np.random.Generator) -> np.ndarray:
    """Windows all over (0, 2 pi), and angles as `curand_normal4` makes them."""
    scale = np.float32(2 * math.pi / 2**32)
    random = rng.integers(0, 2**32, 2**17, dtype=np.uint64).astype(np.float32)
    random = (random.astype(np.float64) * np.float64(scale) + np.float64(scale / 2)).astype(np.float32)
    starts = np.concatenate([rng.uniform(0, 2 * math.pi, 64), 2.0 ** -np.arange(0, 33, 2), np.arange(1, 5) * math.pi / 2 - 2e-4])
    return np.concatenate([windows(starts), random])


def fractions(rng: np.random.Generator) -> np.ndarray:
    """Numbers in (0, 1]: random ones, and windows near 0, 2/3 and 1."""
    random = rng.integers(0, 2**32, 2**17, dtype=np.uint64).astype(np.float32)
    random = (random.astype(np.float64) * 2.0**-32 + 2.0**-33).astype(np.float32)
    edge = np.float32(1.0) - np.arange(0, 2**15, dtype=np.float32) * np.float32(2.0**-24)
    return np.concatenate([random, edge, windows(np.array([2.0**-33, 2.0**-20, 0.01, 0.3, 0.6665, 0.7]))])


def machine_code(folder: Path) -> None:
    """Writes the SASS of `curand_normal4`."""
    if not (shutil.which("nvcc") and shutil.which("cuobjdump")):
        print("no nvcc: no machine code")
        return
    with tempfile.TemporaryDirectory() as work:
        source, text = Path(work) / "draw.cu", ""
        source.write_text(SOURCE)
        for generation in ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90"):
            cubin = Path(work) / f"{generation}.cubin"
            made = subprocess.run(["nvcc", "-O3", f"-arch={generation}", "-cubin", "-o", cubin, source], capture_output=True, text=True)
            if made.returncode == 0:
                text += f"==== {generation}\n" + subprocess.run(["cuobjdump", "-sass", cubin], capture_output=True, text=True).stdout
            else:
                print(generation, made.stderr[:300])
        (folder / "kernel.sass").write_text(text)


def main() -> None:
    """Writes the dumps into the folder that `--out` names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    device = functions()
    grid = torch.arange(COUNT, dtype=torch.float32, device="cuda") * STEP
    dump = {f"quarter/{name}": compressed(device[name](grid)) for name in ("sin", "cos")}
    rng = np.random.Generator(np.random.PCG64(1))
    angle, fraction = angles(rng), fractions(rng)
    on_device = torch.from_numpy(angle).cuda()
    dump |= {"angle": angle, "fraction": fraction}
    dump |= {name: device[name](on_device).cpu().numpy() for name in ("sin", "cos")}
    dump["log"] = device["log"](torch.from_numpy(fraction).cuda()).cpu().numpy()
    dump["sqrt"] = device["sqrt"](torch.from_numpy(fraction).cuda()).cpu().numpy()
    save_file(dump, folder / "functions.safetensors")
    machine_code(folder)
    for path in sorted(folder.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
