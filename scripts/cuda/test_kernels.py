"""Holds the CUDA kernels against PyTorch in f32, on a Hopper GPU, at shapes that are awkward on purpose. The outputs are poisoned first.

    python scripts/cuda/test_kernels.py

The Rust suite (`cargo test -p sd-kernels --no-default-features --features cuda,testing`) holds what launches them.
"""

import sys

import torch
from torch.nn import functional

import device

F16, BF16 = torch.float16, torch.bfloat16
# Rounding of the output is 2.1e-4 and 1.7e-3.
LIMITS = {F16: 3e-4, BF16: 2.4e-3}
ACTIVATIONS = [
    lambda x: x,
    functional.silu,
    functional.gelu,
    lambda x: functional.gelu(x, approximate="tanh"),
    lambda x: x * torch.sigmoid(1.702 * x),
    torch.relu,
    torch.tanh,
]
failed = 0


def random(*shape, dtype, deviation=1.0):
    return (torch.randn(*shape, device="cuda") * deviation).to(dtype)


def poisoned(*shape, dtype):
    return torch.full(shape, float("nan"), device="cuda", dtype=dtype)


def distance(found, expected):
    if not torch.isfinite(found).all():
        return float("nan")
    return ((found.float() - expected).norm() / expected.norm()).item()


def report(name, error, limit):
    global failed
    right = error <= limit
    failed += not right
    print(f"{'ok ' if right else 'BAD'} {name}: {error:.2e} of {limit:.1e}", flush=True)


def linear(rows, columns, summed, cut, dtype=F16, activation=0, gated=False, add=False, residual=False, samples=1, padding=0):
    x = random(rows, summed + padding, dtype=dtype)[:, :summed]
    weight = random(columns, summed, dtype=dtype, deviation=summed**-0.5)
    out = columns // 2 if gated else columns
    tail = device.Tail(
        random(columns, dtype=dtype), random(samples, out, dtype=dtype) if add else None, random(rows, out, dtype=dtype) if residual else None,
        0.5, 2.0, activation, gated,
    )  # fmt: skip
    output = poisoned(rows, out, dtype=dtype)
    device.linear(x, weight, output, tail, cut, samples)
    y = x.float() @ weight.float().T + tail.bias.float()
    y = y[:, :out] * ACTIVATIONS[activation](y[:, out:]) if gated else y
    y = y + tail.add.float().repeat_interleave(rows // samples, 0) if add else y
    y = (y if gated else ACTIVATIONS[activation](y)) * 0.5
    y = (y + tail.residual.float() if residual else y) * 2
    report(f"linear {rows}×{columns}×{summed} {cut} {dtype}", distance(output, y), LIMITS[dtype])


def convolution(shape, second, columns, kernel, cut, stride=1, padding=None, dtype=F16, activation=0):
    samples, height, width, channels = shape
    top, left, bottom, right = padding or (kernel // 2,) * 4
    x = random(*shape, dtype=dtype)
    more = random(samples, height, width, second, dtype=dtype) if second else None
    summed = (channels + second) * kernel * kernel
    weight = random(columns, kernel, kernel, channels + second, dtype=dtype, deviation=summed**-0.5)
    whole = torch.cat([x, more], 3) if second else x
    image = functional.pad(whole.float().permute(0, 3, 1, 2), (left, right, top, bottom))
    y = functional.conv2d(image, weight.float().permute(0, 3, 1, 2), stride=stride).permute(0, 2, 3, 1)
    tail = device.Tail(random(columns, dtype=dtype), random(samples, columns, dtype=dtype), random(*y.shape, dtype=dtype), activation=activation)
    output = poisoned(*y.shape, dtype=dtype)
    device.convolution(x, weight, output, tail, cut, stride, (top, left), more)
    y = ACTIVATIONS[activation](y + tail.bias.float() + tail.add.float()[:, None, None]) + tail.residual.float()
    report(f"convolution {shape}+{second}→{columns} k{kernel} s{stride} {cut} {dtype}", distance(output, y), LIMITS[dtype])


def attention(samples, heads, queries, keys, width, tile, slots, causal=False, dtype=F16, fused=False):
    size = heads * width
    if fused:
        query = key = value = random(samples, queries, 3 * size, dtype=dtype)
        offsets = (0, size, 2 * size)
    else:
        query, key, value = (random(samples, tokens, size, dtype=dtype) for tokens in (queries, keys, keys))
        offsets = (0, 0, 0)
    output = poisoned(samples, queries, size, dtype=dtype)
    device.attention(query, key, value, output, heads, width, tile, slots, int(causal), offsets)
    views = [tensor[:, :, offset : offset + size] for tensor, offset in zip((query, key, value), offsets)]
    split = [view.reshape(samples, -1, heads, width).transpose(1, 2) for view in views]

    def reference(*operands):
        y = functional.scaled_dot_product_attention(*operands, is_causal=causal)
        return y.transpose(1, 2).reshape(samples, queries, size)

    y = reference(*[operand.float() for operand in split])
    limit = 1.15 * distance(reference(*split), y) + 1e-5
    report(f"attention {samples},{heads},{queries},{keys},{width} tile {tile} {dtype}", distance(output, y), limit)


def norms(shape, groups, activation=1, dtype=F16, mean=0.0):
    channels = shape[2]
    x, weight, bias = random(*shape, dtype=dtype) + mean, random(channels, dtype=dtype), random(channels, dtype=dtype)
    output = poisoned(*shape, dtype=dtype)
    device.group_norm(x, weight, bias, output, groups, activation)
    y = functional.group_norm(x.double().transpose(1, 2), groups, weight.double(), bias.double(), 1e-5).transpose(1, 2)
    report(f"group norm {shape} {dtype}", distance(output, ACTIVATIONS[activation](y).float()), LIMITS[dtype])
    rows = x.reshape(-1, channels)
    output = poisoned(*rows.shape, dtype=dtype)
    device.layer_norm(rows, weight, bias, output)
    y = functional.layer_norm(rows.double(), (channels,), weight.double(), bias.double(), 1e-5)
    report(f"layer norm {tuple(rows.shape)} {dtype}", distance(output, y.float()), LIMITS[dtype])


def main():
    torch.manual_seed(0)
    linear(128, 160, 64, (160, 0, 1))
    linear(300, 328, 1000, (160, 0, 1), add=True, residual=True, samples=3)
    linear(1000, 96, 72, (160, 0, 1), activation=1)
    linear(300, 328, 1000, (128, 1, 1), activation=2, residual=True)
    linear(8192, 320, 320, (160, 1, 1), BF16)
    linear(77, 768, 768, (128, 0, 3), activation=4)
    linear(154, 1280, 640, (80, 1, 2))
    linear(512, 2560, 320, (256, 0, 1), activation=2, gated=True)
    linear(130, 640, 320, (160, 1, 1), activation=2, gated=True, residual=True)
    linear(1, 1280, 320, (80, 0, 4), activation=1)
    linear(2, 1280, 1280, (32, 1, 3))
    linear(300, 20, 136, (32, 0, 1), residual=True)
    linear(300, 3, 136, (32, 0, 1))
    linear(64, 5, 64, (32, 0, 1), add=True, residual=True)
    linear(128, 320, 8, (160, 0, 1), padding=8)
    linear(1024, 1280, 5120, (160, 0, 4), BF16, residual=True)
    # More tiles than blocks.
    linear(8192, 2560, 320, (160, 0, 1))
    linear(8192, 2560, 320, (160, 1, 1))
    linear(4096, 4096, 512, (256, 0, 1), activation=1)
    linear(4096, 2560, 1280, (128, 1, 1), activation=2, gated=True, residual=True)
    linear(3000, 2004, 200, (80, 0, 1))
    linear(2048, 2560, 2048, (160, 0, 3))
    convolution((2, 64, 64, 320), 0, 320, 3, (160, 0, 1))
    convolution((2, 32, 32, 640), 0, 640, 3, (160, 0, 2), activation=1)
    convolution((2, 16, 16, 1280), 640, 1280, 3, (160, 1, 3))
    convolution((2, 8, 8, 1280), 0, 1280, 3, (80, 0, 8))
    convolution((1, 17, 23, 72), 24, 40, 3, (80, 0, 1), activation=2)
    convolution((3, 9, 7, 8), 0, 16, 3, (32, 0, 1))
    convolution((2, 64, 64, 320), 0, 320, 3, (160, 0, 2), stride=2)
    convolution((1, 33, 47, 64), 0, 96, 3, (80, 1, 1), stride=2, padding=(0, 0, 1, 1))
    convolution((1, 40, 40, 320), 0, 4, 3, (32, 0, 1))
    convolution((1, 256, 256, 128), 0, 3, 3, (32, 1, 1))
    convolution((1, 128, 128, 128), 0, 128, 1, (128, 1, 1), dtype=BF16)
    convolution((1, 200, 136, 64), 64, 320, 3, (128, 1, 1), activation=1)
    convolution((1, 128, 128, 512), 0, 512, 3, (256, 0, 1))
    attention(2, 8, 4096, 4096, 40, 128, 2)
    attention(1, 2, 100, 77, 40, 80, 1)
    attention(2, 10, 1024, 1024, 64, 128, 2, fused=True)
    attention(2, 8, 333, 4250, 80, 128, 2)
    attention(1, 3, 129, 257, 96, 128, 2)
    attention(1, 2, 200, 130, 128, 128, 2)
    attention(2, 4, 70, 64, 160, 64, 2)
    attention(2, 12, 77, 77, 64, 80, 1, causal=True)
    attention(1, 2, 300, 300, 64, 128, 2, causal=True, fused=True)
    attention(1, 1, 1, 1, 64, 80, 1)
    attention(2, 8, 256, 256, 160, 64, 2, dtype=BF16)
    norms((2, 4096, 320), 32)
    norms((2, 64, 1280), 32, dtype=BF16)
    norms((1, 65536, 128), 32)
    norms((3, 391, 640), 32, 0, mean=50.0)
    norms((2, 256, 2048), 32)
    norms((1, 5, 32), 4)
    print(f"{failed} failed")
    sys.exit(failed)


if __name__ == "__main__":
    main()
