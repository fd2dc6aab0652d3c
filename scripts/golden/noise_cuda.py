"""What `torch.randn` draws on a CUDA device: `tests/fixtures/noise/torch_cuda.safetensors`.

    python scripts/golden/noise_cuda.py --out tests/fixtures/noise/torch_cuda.safetensors

Run by hand where there is a GPU (torch, numpy and safetensors are all it needs, and whatever version of torch is there:
the metadata name it), therefore no part of `generate.py`.

`SEED/SIZE` holds one draw of a fresh generator; a long one is a sample: its first 32 numbers, then every
max(1, SIZE // 256)-th from 0, then its last 32. `SEED/SIZE/crc32` is the checksum of the whole draw's bytes,
`SEED/SIZE/offset` the generator's offset behind it. `SEED/SIZE/f16` and `/bf16`: the same of draws in those types.
`sequence/N`: draw N of one generator seeded 42, of the size `sequence/sizes`[N], sampled likewise, with `crc32` and
`offset`. `rows/N`: the draws of generators seeded 42 + N of shape [1, 4, 64, 64]. The device, its layout and the
versions are in the metadata under `json`.
"""

import argparse
import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

SEEDS = (0, 42, 2**32 + 1, 2**64 - 1)
# The last ones pass over the grid more than once on every card there is.
SIZES = (1, 3, 4, 5, 1000, 4 * 64 * 64, 4 * 128 * 128 * 2, 2**20 + 3, 3_000_017)
SEQUENCE = (3, 4 * 64 * 64, 5, 2**20 + 3, 0, 1, 3_000_017, 40_000, 7)
HALF_SIZES = (5, 1000, 4 * 128 * 128 * 2)
WHOLE = 1000
EDGE = 32
SAMPLES = 256


def sample(values: torch.Tensor) -> torch.Tensor:
    """The numbers of a draw that are kept."""
    if values.numel() <= WHOLE:
        return values.clone()
    step = max(1, values.numel() // SAMPLES)
    return torch.cat([values[:EDGE], values[::step], values[-EDGE:]])


def crc32(values: torch.Tensor) -> torch.Tensor:
    """Of the bytes, little-endian."""
    return torch.tensor([zlib.crc32(values.contiguous().view(torch.uint8).numpy().tobytes())], dtype=torch.int64)


def offset(generator: torch.Generator) -> torch.Tensor:
    """The state of a CUDA generator is its seed and its offset, eight bytes each."""
    return generator.get_state()[8:16].view(torch.int64).clone()


def draw(generator: torch.Generator, size: int, dtype: torch.dtype) -> torch.Tensor:
    """One call of `randn`."""
    return torch.randn(size, generator=generator, device="cuda", dtype=dtype).cpu()


def keep(tensors: dict[str, torch.Tensor], name: str, generator: torch.Generator, values: torch.Tensor) -> None:
    """Files a draw under its name."""
    tensors[name] = sample(values)
    tensors[f"{name}/crc32"] = crc32(values)
    tensors[f"{name}/offset"] = offset(generator)


def seeded(seed: int) -> torch.Generator:
    """A fresh generator on the device."""
    return torch.Generator("cuda").manual_seed(seed)


def collect() -> dict[str, torch.Tensor]:
    """All tensors of the file."""
    tensors = {}
    for seed in SEEDS:
        for size in SIZES:
            generator = seeded(seed)
            keep(tensors, f"{seed}/{size}", generator, draw(generator, size, torch.float32))
    for size in HALF_SIZES:
        for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
            generator = seeded(42)
            keep(tensors, f"42/{size}/{name}", generator, draw(generator, size, dtype))
    generator = seeded(42)
    tensors["sequence/sizes"] = torch.tensor(SEQUENCE, dtype=torch.int64)
    for index, size in enumerate(SEQUENCE):
        keep(tensors, f"sequence/{index}", generator, draw(generator, size, torch.float32))
    for row in range(2):
        values = torch.randn(1, 4, 64, 64, generator=seeded(42 + row), device="cuda").cpu().flatten()
        tensors[f"rows/{row}"] = sample(values)
        tensors[f"rows/{row}/crc32"] = crc32(values)
    return tensors


def description() -> dict:
    """What the values depend on."""
    device = torch.cuda.get_device_properties(0)
    return {
        "device": device.name,
        "multiprocessors": device.multi_processor_count,
        "threads_per_multiprocessor": device.max_threads_per_multi_processor,
        "capability": f"{device.major}.{device.minor}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def main() -> None:
    """Writes the file that `--out` names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    metadata = description()
    save_file(collect(), out, metadata={"json": json.dumps(metadata, sort_keys=True)})
    print(json.dumps(metadata), out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
