"""Infers the table behind `__sinf` from what torch drew on a GPU, and prints it as it stands in
`crates/sd-schedulers/src/rng/cuda_sine.rs`.

    python scripts/golden/noise_cuda_sine.py

A normal number is a radius times a sine. The radius is known to the bit (`logf` and `sqrtf` are in the machine code of the
kernel), so every recorded number bounds the sine of a known place of a quarter turn to one or two f32. Each 64th of the
quarter has a value, a slope and a curvature; all near the true ones are tried, and exactly one slope and curvature leaves
room for a value. Needs torch and safetensors alone and reads `tests/fixtures/noise/torch_cuda.safetensors`.
"""

import json
import math

import numpy as np
from safetensors import safe_open

from common import FIXTURES

PART, PARTS = 17, 64
LOGARITHM = (0xBE055027, 0x3E1039F6, 0xBDF8CDCC, 0x3E0F2955, 0xBE2AD8B9, 0x3E4CED0B, 0xBE7FFF22, 0x3EAAAA78, 0xBF000000)
STEP = np.float32(2.0**-32)
TURN = np.float32(2 * math.pi) * STEP


def floats(words) -> np.ndarray:
    """The f32 that have these bits."""
    return np.asarray(words, dtype=np.uint32).view(np.float32)


def fused(a: np.ndarray, b, c) -> np.ndarray:
    """`a * b + c`, rounded once: 80 bits hold the product and nearly all of the sum."""
    return (a.astype(np.longdouble) * np.asarray(b, np.longdouble) + np.asarray(c, np.longdouble)).astype(np.float32)


def philox(counter: list[np.ndarray], key: list[int]) -> list[np.ndarray]:
    """Ten rounds of Philox 4x32, on words held in 64 bits."""
    low = np.uint64(2**32 - 1)
    for passed in range(10):
        keys = [np.uint64((word + passed * step) % 2**32) for word, step in zip(key, (0x9E3779B9, 0xBB67AE85))]
        products = [counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)]
        high = [product >> np.uint64(32) for product in products]
        counter = [high[1] ^ counter[1] ^ keys[0], products[1] & low, high[0] ^ counter[3] ^ keys[1], products[0] & low]
    return counter


def logarithm(x: np.ndarray) -> np.ndarray:
    """The device's `logf`."""
    bits = x.view(np.int32)
    exponent = (bits - np.int32(0x3F2AAAAB)) & np.int32(-(2**23))
    m = (bits - exponent).view(np.float32) - np.float32(1)
    series = np.full_like(m, floats(LOGARITHM)[0])
    for coefficient in floats(LOGARITHM)[1:]:
        series = fused(series, m, coefficient)
    return fused((exponent >> 23).astype(np.float32), floats(0x3F317218), fused(series * m, m, m))


def kept(size: int) -> np.ndarray:
    """The places that `noise_cuda.py` keeps of a draw."""
    every = np.arange(size)
    return every if size <= 1000 else np.concatenate([every[:32], every[:: max(1, size // 256)], every[-32:]])


def radius_and_place(seed: int, size: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The radius of each kept number, and the place of its sine in the first quarter turn, of 2^23."""
    threads = min(-(-size // 256) * 256, threads)
    block, rest = np.divmod(kept(size).astype(np.uint64), np.uint64(4 * threads))
    lane, thread = np.divmod(rest, np.uint64(threads))
    words = philox([block, np.zeros_like(block), thread, np.zeros_like(block)], [seed % 2**32, seed >> 32])
    x, y = (np.where(lane < 2, *pair).astype(np.float32) for pair in ((words[0], words[2]), (words[1], words[3])))
    radius = np.sqrt(np.float32(-2) * logarithm(fused(x, STEP, STEP / 2)))
    product = fused(y, TURN, TURN / 2).astype(float) * float(floats(0x3E22F983))
    # Rounded towards zero to the 24 bits of f32, of which only those down to 2^-25 count.
    mantissa, exponent = np.frexp(product)
    turn = np.floor(np.ldexp(np.floor(mantissa * 2**24), exponent + 1)).astype(np.int64)
    quarter, place = (turn >> 23) + lane.astype(np.int64) % 2, turn & (2**23 - 1)
    return radius, np.where(quarter % 2 == 0, place, 2**23 - 1 - place)


def bounds(radius: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which f32 the sine lay before it was truncated: those that give the number, and up to the next."""
    near = (number.astype(float) / radius).astype(np.float32)
    tried = (near.view(np.int32)[:, None] + np.arange(-4, 5, dtype=np.int32)).view(np.float32)
    fits = radius[:, None] * tried == number[:, None]
    assert fits.any(1).all(), "a number that no sine explains"
    low, high = np.where(fits, tried, np.inf).min(1), np.where(fits, tried, -np.inf).max(1)
    return low.astype(float), high.astype(float) + np.spacing(high).astype(float)


def square(x: np.ndarray) -> np.ndarray:
    """The square of 17 bits in 2^-15 of the whole, without any product of two bits below."""
    bits = [(x >> bit) & 1 for bit in range(PART)]
    total = np.zeros_like(x)
    for i, bit in enumerate(bits):
        total += (bit << 2 * i) * (2 * i >= 19)
        total += sum(((bit & bits[j]) << (i + j + 1) for j in range(max(i + 1, 18 - i), PART)), np.zeros_like(x))
    return total >> 19


def solve(part: int, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[int, int, int]:
    """The only value, slope and curvature of a part, in 2^-25, 2^-20 and 2^-22."""
    angle, width = math.pi / 2 * part / PARTS, math.pi / 2 / PARTS
    slope, curvature = width * math.cos(angle) * 2**20, -(width**2) / 2 * math.sin(angle + width / 2) * 2**22
    found = []
    for c1 in range(int(slope) - 4, int(slope) + 6):
        for c2 in range(int(curvature) - 14, int(curvature) + 14):
            rest = (c1 * x + c2 * square(x)) / 2.0**37
            least, below = ((low - rest).max() * 2**25, (high - rest).min() * 2**25)
            found += [(c0, c1, c2) for c0 in range(math.ceil(least), math.ceil(below))]
    assert len(found) == 1, f"part {part}: {found}"
    return found[0]


def main() -> None:
    """Prints the table."""
    columns = []
    with safe_open(FIXTURES / "noise" / "torch_cuda.safetensors", framework="pt") as file:
        device = json.loads(file.metadata()["json"])
        threads = device["multiprocessors"] * (device["threads_per_multiprocessor"] // 256) * 256
        for name in file.keys():
            seed, size, *rest = name.split("/")
            if rest or not seed.isdigit() or int(size) < 1000:
                continue
            radius, place = radius_and_place(int(seed), int(size), threads)
            columns.append([place, *bounds(radius, file.get_tensor(name).abs().numpy())])
    place, low, high = (np.concatenate(column) for column in zip(*columns))
    for part in range(PARTS):
        chosen = place >> PART == part
        print("[{}, {}, {}],".format(*solve(part, place[chosen] & (2**PART - 1), low[chosen], high[chosen])))


if __name__ == "__main__":
    main()
