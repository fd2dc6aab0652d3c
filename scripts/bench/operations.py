"""Times the operations of benches/operations.rs in PyTorch.

    python scripts/bench/operations.py
    cargo bench --bench operations
"""

import statistics
import time

import torch
from torch.nn import functional


def show(name, run):
    run()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{name:<32}{statistics.median(times):>10.2f}{min(times):>10.2f}{max(times):>10.2f}")


@torch.no_grad()
def main():
    print(f"{'ms':<32}{'median':>10}{'min':>10}{'max':>10}")
    convolutions = [(64, 320, 320), (32, 640, 640), (32, 1920, 640), (16, 1280, 1280), (8, 1280, 1280)]
    convolutions += [(128, 512, 512), (256, 256, 256), (512, 128, 128)]
    for side, width, out in convolutions:
        image = torch.randn(1 if side > 64 else 2, width, side, side)
        weight = torch.randn(out, width, 3, 3)
        show(f"conv2d {side} {width} {out}", lambda: functional.conv2d(image, weight, padding=1))
    linears = [(8192, 320, 320), (8192, 1280, 320), (2048, 640, 640), (512, 1280, 1280), (512, 5120, 1280)]
    for rows, width, out in linears + [(154, 768, 3072)]:
        tokens, weight = torch.randn(rows, width), torch.randn(out, width)
        show(f"linear {rows} {width} {out}", lambda: functional.linear(tokens, weight))
    for rows, width in [(8192, 320), (2048, 640), (512, 1280)]:
        tokens, weight = torch.randn(rows, width), torch.randn(8 * width, width)

        def geglu():
            value, gate = functional.linear(tokens, weight).chunk(2, -1)
            return value * functional.gelu(gate)

        show(f"geglu {rows} {width}", geglu)
    for tokens, heads, width in [(4096, 8, 40), (1024, 8, 80), (256, 8, 160), (4096, 1, 512)]:
        views = [torch.randn(1 if heads == 1 else 2, heads, tokens, width) for _ in range(3)]
        show(f"attention {tokens} {heads} {width}", lambda: functional.scaled_dot_product_attention(*views))
    image = torch.randn(2, 320, 64, 64)
    show("group_norm + silu", lambda: functional.silu(functional.group_norm(image, 32)))


if __name__ == "__main__":
    main()
