"""Launches the kernels of sd-kernels from PyTorch, as CubeCL launches them: maps, a pointer for each map, buffers, numbers by value."""

import ctypes
import struct
from concurrent.futures import ThreadPoolExecutor

import torch

import sources

PROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count
driver = ctypes.CDLL("libcuda.so.1")
nvrtc = sources.load_nvrtc()
torch.zeros(1, device="cuda")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

counters = torch.zeros(1 << 16, dtype=torch.int32, device="cuda")
parts = torch.empty(1 << 26, dtype=torch.float32, device="cuda")
loaded = {}


def check(result):
    if result:
        message = ctypes.c_char_p()
        driver.cuGetErrorString(result, ctypes.byref(message))
        raise RuntimeError(f"CUDA: {message.value.decode()}")


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def prepare(variants):
    """Compiles and loads variants, several at a time."""
    new = {key(variant): variant for variant in variants if key(variant) not in loaded}
    with ThreadPoolExecutor(14) as pool:
        binaries = pool.map(lambda variant: sources.compile_source(variant.source(), nvrtc)[0], new.values())
        for (name, variant), binary in zip(new.items(), binaries):
            module, function = ctypes.c_void_p(), ctypes.c_void_p()
            check(driver.cuModuleLoadData(ctypes.byref(module), binary))
            check(driver.cuModuleGetFunction(ctypes.byref(function), module, variant.entry.encode()))
            check(driver.cuFuncSetAttribute(function, 8, variant.shared))
            loaded[name] = function


def key(variant):
    return variant.entry, variant.shared, tuple(variant.constants.items())


def launch(variant, grid, maps, buffers, numbers):
    prepare([variant])
    values = [ctypes.c_uint64(pointer) for _, pointer in maps] + [ctypes.c_uint64(buffer.data_ptr()) for buffer in buffers]
    info = ctypes.create_string_buffer(struct.pack(f"<{len(numbers)}Q", *numbers))
    addresses = [address for address, _ in maps] + [ctypes.addressof(value) for value in (*values, info)]
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    arguments = (ctypes.c_void_p * len(addresses))(*addresses)
    check(driver.cuLaunchKernel(loaded[key(variant)], *grid, variant.threads, 1, 1, variant.shared, stream, arguments, None))


def tensor_map(tensor, shape, strides, box, steps=None, offset=0, _alive=[]):
    """Innermost dimension first; `strides`, in elements, are those of all but the innermost."""
    memory = ctypes.create_string_buffer(192)
    _alive.append(memory)
    address = (ctypes.addressof(memory) + 63) // 64 * 64
    rank, steps = len(shape), steps or [1] * len(shape)
    pointer = tensor.data_ptr() + 2 * offset
    kind = 9 if tensor.dtype == torch.bfloat16 else 6
    check(
        driver.cuTensorMapEncodeTiled(
            ctypes.c_void_p(address), kind, rank, ctypes.c_void_p(pointer), (ctypes.c_uint64 * rank)(*shape),
            (ctypes.c_uint64 * (rank - 1))(*[2 * stride for stride in strides]), (ctypes.c_uint32 * rank)(*box), (ctypes.c_uint32 * rank)(*steps),
            0, 3, 3, 0,
        )
    )  # fmt: skip
    return address, pointer


class Tail:
    """An epilogue."""

    def __init__(self, bias=None, add=None, residual=None, scale=1.0, output_scale=1.0, activation=0, gated=False):
        self.bias, self.add, self.residual = bias, add, residual
        self.scale, self.output_scale, self.activation, self.gated = scale, output_scale, activation, gated

    def constants(self, columns, dtype):
        return dict(
            BIAS=int(self.bias is not None), ADD=int(self.add is not None), RESIDUAL=int(self.residual is not None), GATED=int(self.gated),
            ACTIVATION=self.activation, VECTOR=int(columns % 8 == 0), BFLOAT=int(dtype == torch.bfloat16),
        )  # fmt: skip


def _matmul(variant, maps, output, sizes, split, geometry, tail):
    rows, columns, positions, row_tiles, column_tiles, steps = sizes
    total = row_tiles * column_tiles * split
    buffers = [output, *[tensor for tensor in (tail.bias, tail.add, tail.residual) if tensor is not None]]
    buffers += [parts, counters] if split > 1 else []
    add_pitch = tail.add.stride(0) if tail.add is not None else 0
    numbers = [rows, columns, positions, row_tiles, column_tiles, steps, split, *geometry, 0, add_pitch, 0, 0, columns]
    numbers += [bits(tail.scale), bits(tail.output_scale), total]
    launch(variant, (min(PROCESSORS, total), 1, 1), maps, buffers, numbers)


def linear_variant(columns, dtype, cut, tail):
    width, alternate, split = cut
    return sources.Matmul(BN=width, ALTERNATE=alternate, SPLIT=int(split > 1), **tail.constants(columns, dtype))


def linear(x, weight, output, tail, cut, samples=1):
    width, _, split = cut
    (rows, summed), columns = x.shape, output.shape[1]
    across = width // 2 if tail.gated else width
    maps = [tensor_map(x, [summed, rows], [x.stride(0)], [64, 128]), tensor_map(weight, [summed, weight.shape[0]], [weight.stride(0)], [64, across])]
    sizes = (rows, columns, rows // samples, -(-rows // 128), -(-columns // across), -(-summed // 64))
    _matmul(linear_variant(columns, x.dtype, cut, tail), maps, output, sizes, split, [0] * 14, tail)


def tile_of_pixels(samples, height, width):
    """As `cuda/tiles.rs`: log2 of width and height of a tile, and how many there are."""
    shapes = [(log_w, log_h) for log_w in range(8) for log_h in range(8 - log_w)]
    tiles = lambda w, h: -(-width // (1 << w)) * -(-height // (1 << h)) * -(-samples // (128 >> (w + h)))
    log_w, log_h = min(shapes, key=lambda shape: (tiles(*shape), 7 - shape[0]))
    return log_w, log_h, tiles(log_w, log_h)


def convolution_variant(columns, dtype, cut, tail, pair):
    width, alternate, split = cut
    return sources.Matmul(BN=width, ALTERNATE=alternate, SPLIT=int(split > 1), CONVOLUTION=1, PAIR=int(pair), **tail.constants(columns, dtype))


def convolution(x, weight, output, tail, cut, stride=1, padding=(1, 1), second=None):
    """`padding`: rows above, columns to the left; what is below and to the right follows from the output."""
    width, _, split = cut
    samples, height, image_width, channels = x.shape
    columns, kernel_h, kernel_w, all_channels = weight.shape
    _, out_h, out_w, _ = output.shape
    log_w, log_h, row_tiles = tile_of_pixels(samples, out_h, out_w)
    box = [64, (1 << log_w) * stride, (1 << log_h) * stride, 128 >> (log_w + log_h)]

    def image(tensor):
        strides = [tensor.stride(2), tensor.stride(1), tensor.stride(0)]
        return tensor_map(tensor, [tensor.shape[3], image_width, height, samples], strides, box, [1, stride, stride, 1])

    images = [x] if second is None else [x, second]
    of_weight = [all_channels, kernel_w * all_channels, kernel_h * kernel_w * all_channels]
    maps = [image(tensor) for tensor in images]
    maps.append(tensor_map(weight, [all_channels, kernel_w, kernel_h, columns], of_weight, [64, 1, 1, width]))
    chunks = [-(-tensor.shape[3] // 64) for tensor in images]
    geometry = [chunks[0], sum(chunks[1:]), channels, kernel_w, stride, *padding, out_h, out_w, samples, log_w, log_h]
    geometry += [-(-out_w // (1 << log_w)), -(-out_h // (1 << log_h))]
    sizes = (samples * out_h * out_w, columns, out_h * out_w, row_tiles, -(-columns // width), kernel_h * kernel_w * sum(chunks))
    variant = convolution_variant(columns, x.dtype, cut, tail, second is not None)
    _matmul(variant, maps, output, sizes, split, geometry, tail)


def attention(query, key_, value, output, heads, width, tile, slots, causal=0, offsets=(0, 0, 0)):
    samples, queries, _ = query.shape

    def view(tensor, offset, rows):
        shape = [width, heads, tensor.shape[1], samples]
        return tensor_map(tensor, shape, [width, tensor.stride(1), tensor.stride(0)], [64, 1, rows, 1], None, offset)

    variant = sources.Attention(width, tile, slots, causal, int(query.dtype == torch.bfloat16))
    maps = [view(tensor, offset, rows) for tensor, offset, rows in zip((query, key_, value), offsets, (128, tile, tile))]
    numbers = [queries, key_.shape[1], heads, bits(width**-0.5 * 1.4426950408889634)]
    launch(variant, (-(-queries // 128), heads, samples), maps, [output], numbers)


def group_norm(x, weight, bias, output, groups, activation, eps=1e-5):
    samples, pixels, channels = x.shape
    bfloat = int(x.dtype == torch.bfloat16)
    blocks = -(-PROCESSORS * (2 if x.numel() >= 1 << 22 else 1) // samples)
    chunk = max(-(-pixels // blocks), 2 * (512 // (channels // 8)))
    chunks = -(-pixels // chunk)
    numbers = [pixels, channels, groups, x.stride(1), chunk, chunks, bits(eps)]
    found = parts[: samples * groups * chunks * 2]
    launch(sources.GroupNorm("moments", channels, activation, bfloat), (chunks, samples, 1), [], [x, found], numbers)
    variant = sources.GroupNorm("normalise", channels, activation, bfloat)
    launch(variant, (chunks, samples, 1), [], [x, found, weight, bias, output], numbers)


def layer_norm(x, weight, bias, output, eps=1e-5):
    rows, channels = x.shape
    variant = sources.LayerNorm(channels, int(x.dtype == torch.bfloat16))
    launch(variant, (-(-rows // 8), 1, 1), [], [x, weight, bias, output], [rows, channels, x.stride(0), bits(eps)])
