"""Times the CUDA kernels beside PyTorch's, each in a CUDA graph of its own, over all cuts that make sense for a shape.

    python scripts/cuda/bench_kernels.py

Prints the microseconds of PyTorch and of the four fastest cuts (width / alternate / splits), which is what the rule in `cuda/tiles.rs` is
fitted to.
"""

import statistics

import torch
from torch.nn import functional

import device
from test_kernels import F16, random

CUTS = [(width, alternate) for width in (32, 80, 128, 160, 256) for alternate in (0, 1) if not (width == 256 and alternate)]
LINEARS = [
    (8192, 320, 320, False), (8192, 320, 2560, False), (2048, 640, 640, False), (2048, 640, 5120, False), (512, 1280, 1280, False),
    (512, 1280, 10240, False), (8192, 1280, 320, False), (8192, 2560, 320, True), (2048, 5120, 640, True), (512, 10240, 1280, True),
    (154, 1280, 768, False), (128, 1280, 1280, False), (2, 1280, 1280, False),
]  # fmt: skip
CONVOLUTIONS = [
    ((2, 64, 64, 320), 0, 320), ((2, 32, 32, 640), 0, 640), ((2, 16, 16, 1280), 0, 1280), ((2, 8, 8, 1280), 0, 1280),
    ((2, 16, 16, 1280), 1280, 1280), ((2, 64, 64, 320), 640, 320), ((1, 128, 128, 512), 0, 512), ((1, 256, 256, 256), 0, 256),
    ((1, 512, 512, 128), 0, 128), ((2, 64, 64, 320), 0, 4),
]  # fmt: skip
ATTENTIONS = [(2, 8, 4096, 4096, 40), (2, 10, 4096, 4096, 64), (2, 20, 1024, 1024, 64), (2, 8, 1024, 1024, 80), (2, 8, 4096, 77, 40)]
NORMS = [(2, 4096, 320), (2, 1024, 640), (2, 256, 1280), (2, 64, 1280), (1, 262144, 128), (1, 65536, 256), (1, 16384, 512)]


def microseconds(run, count=20, rounds=5):
    for _ in range(3):
        run()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(count):
                run()
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / count)
    return statistics.median(times)


def show(name, operations, reference, contenders):
    torch_time = microseconds(reference)
    times = sorted((microseconds(run), label) for label, run in contenders)
    shown = " | ".join(f"{label} {time:.1f} ({operations / time / 1e6:.0f} TFLOP/s)" for time, label in times[:4])
    print(f"{name}: PyTorch {torch_time:.1f} | {shown} | PyTorch / ours {torch_time / times[0][0]:.2f}", flush=True)


def cuts(row_tiles, columns, steps, gated=False):
    for width, alternate in CUTS:
        across = width // 2 if gated else width
        if across > -(-columns // 32) * 32:
            continue
        tiles = row_tiles * -(-columns // across)
        for split in (1, 2, 3, 4, 6, 8):
            if split == 1 or (tiles * split <= device.PROCESSORS * 1.6 and steps // split >= 5):
                yield width, alternate, split


def linear(rows, columns, summed, gated):
    x, weight, bias = random(rows, summed, dtype=F16), random(columns, summed, dtype=F16, deviation=summed**-0.5), random(columns, dtype=F16)
    out = columns // 2 if gated else columns
    output, tail = torch.empty(rows, out, device="cuda", dtype=F16), device.Tail(bias, activation=2 if gated else 0, gated=gated)

    def reference():
        y = functional.linear(x, weight, bias)
        return y[:, :out] * functional.gelu(y[:, out:]) if gated else y

    ways = list(cuts(-(-rows // 128), out, -(-summed // 64), gated))
    device.prepare([device.linear_variant(out, F16, cut, tail) for cut in ways])
    contenders = [("/".join(map(str, cut)), lambda cut=cut: device.linear(x, weight, output, tail, cut)) for cut in ways]
    show(f"linear {rows}×{columns}×{summed}{' gated' if gated else ''}", 2 * rows * columns * summed, reference, contenders)


def convolution(shape, second, columns):
    samples, height, width, channels = shape
    x, more = random(*shape, dtype=F16), random(samples, height, width, second, dtype=F16) if second else None
    summed = 9 * (channels + second)
    weight, bias = random(columns, 3, 3, channels + second, dtype=F16, deviation=summed**-0.5), random(columns, dtype=F16)
    output, tail = torch.empty(samples, height, width, columns, device="cuda", dtype=F16), device.Tail(bias)
    image = (torch.cat([x, more], 3) if second else x).permute(0, 3, 1, 2)
    kernel = weight.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    ways = list(cuts(device.tile_of_pixels(samples, height, width)[2], columns, 9 * (-(-channels // 64) + -(-second // 64))))
    device.prepare([device.convolution_variant(columns, F16, cut, tail, bool(second)) for cut in ways])
    contenders = [
        ("/".join(map(str, cut)), lambda cut=cut: device.convolution(x, weight, output, tail, cut, second=more)) for cut in ways
    ]
    operations = 2 * samples * height * width * columns * summed
    show(f"3×3 {shape}+{second}→{columns}", operations, lambda: functional.conv2d(image, kernel, bias, padding=1), contenders)


def attention(samples, heads, queries, keys, width):
    query, key, value = (random(samples, tokens, heads * width, dtype=F16) for tokens in (queries, keys, keys))
    output = torch.empty_like(query)
    split = [tensor.view(samples, -1, heads, width).transpose(1, 2) for tensor in (query, key, value)]
    tiles = [(80, 1)] if keys <= 80 else [(64, 2), (128, 2)]
    contenders = [
        (f"{tile}/{slots}", lambda tile=tile, slots=slots: device.attention(query, key, value, output, heads, width, tile, slots))
        for tile, slots in tiles
    ]
    operations = 4 * samples * heads * queries * keys * width
    reference = lambda: functional.scaled_dot_product_attention(*split)
    show(f"attention {samples}, {heads}, {queries}, {keys}, {width}", operations, reference, contenders)


def norms(samples, pixels, channels):
    x, weight, bias = random(samples, pixels, channels, dtype=F16), random(channels, dtype=F16), random(channels, dtype=F16)
    output, image = torch.empty_like(x), x.transpose(1, 2).contiguous()
    ours = microseconds(lambda: device.group_norm(x, weight, bias, output, 32, 1))
    theirs = microseconds(lambda: functional.silu(functional.group_norm(image, 32, weight, bias)))
    print(f"group norm {samples}×{pixels}×{channels}: PyTorch {theirs:.1f} | {ours:.1f} ({4 * x.numel() / ours / 1e6:.2f} TB/s)")
    rows = x.view(-1, channels)
    ours = microseconds(lambda: device.layer_norm(rows, weight, bias, output))
    theirs = microseconds(lambda: functional.layer_norm(rows, (channels,), weight, bias))
    print(f"layer norm {tuple(rows.shape)}: PyTorch {theirs:.1f} | {ours:.1f} ({4 * x.numel() / ours / 1e6:.2f} TB/s)", flush=True)


def main():
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    print(torch.cuda.get_device_name(), torch.__version__)
    for shape in LINEARS:
        linear(*shape)
    for shape in CONVOLUTIONS:
        convolution(*shape)
    for shape in ATTENTIONS:
        attention(*shape)
    for shape in NORMS:
        norms(*shape)


if __name__ == "__main__":
    main()
