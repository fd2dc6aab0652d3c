"""The CUDA kernels of sd-kernels as its recipes write them: constants, what all share, generated instructions, the kernel's text.

    python scripts/cuda/sources.py      # compiles a variant of each by NVRTC, which needs no GPU, and fails where registers spill

NVRTC comes with `pip install nvidia-cuda-nvrtc`; its folder has to be in `LD_LIBRARY_PATH`, or it is found beside a CUDA toolkit.
"""

import ctypes
import ctypes.util
import glob
import pathlib
import sys

KERNELS = pathlib.Path(__file__).parents[2] / "crates/sd-kernels/src/cuda/kernels"

# As in `cuda/matmul.rs`.
STAGES = 8 * 16 * 40 * 4
SHARED = 227 * 1024 - STAGES - 512
MATMUL = dict(
    BN=160, ALTERNATE=0, SPLIT=0, CONVOLUTION=0, PAIR=0, GATED=0, BIAS=1, ADD=0, MUL=0, RESIDUAL=0, ACTIVATION=0, VECTOR=1, WIDE=0, BFLOAT=0
)


def multiply(name, width, element, left):
    """As `cuda/instructions.rs`."""
    sums = width // 2
    registers = ", ".join(f"%{i}" for i in range(sums))
    outputs = ", ".join(f'"+f"(sums[{i}])' for i in range(sums))
    if left == "shared":
        parameters, operands, order, inputs, next_one = "u64 left", f"%{sums}", "0, 0", '"l"(left)', sums + 1
    else:
        parameters = ", ".join(f"u32 left_{i}" for i in range(4))
        operands = "{" + ", ".join(f"%{sums + i}" for i in range(4)) + "}"
        inputs = ", ".join(f'"r"(left_{i})' for i in range(4))
        order, next_one = "1", sums + 4
    return (
        f"__device__ __forceinline__ void {name}(float (&sums)[{sums}], {parameters}, u64 right, int more) {{\n"
        f'asm volatile("{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{next_one + 1}, 0;\\n"\n'
        f'"wgmma.mma_async.sync.aligned.m64n{width}k16.f32.{element}.{element} {{{registers}}}, {operands}, %{next_one}, p, 1, 1, {order};\\n}}\\n"\n'
        f': {outputs} : {inputs}, "l"(right), "r"(more));\n}}\n'
    )


def element(constants):
    return "bf16" if constants["BFLOAT"] else "f16"


def write(file, constants, instructions=""):
    defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    return defines + (KERNELS / "common.cuh").read_text() + instructions + (KERNELS / file).read_text()


class Matmul:
    """Constants, source and shared memory of a variant of `matmul.cu`."""

    entry, threads = "matmul", 384

    def __init__(self, **constants):
        self.constants = {**MATMUL, **constants}
        slot = (128 + self.constants["BN"]) * 128
        slots = min(8, SHARED // slot)
        self.constants["SLOTS"] = slots
        self.shared = slots * (slot + 16) + STAGES + 16

    def source(self):
        return write("matmul.cu", self.constants, multiply("multiply", self.constants["BN"], element(self.constants), "shared"))


class Attention:
    """The same of `attention.cu`."""

    entry, threads = "attention", 384

    def __init__(self, head, tile, slots, causal=0, bfloat=0):
        atoms = (head + 63) // 64
        self.constants = dict(HEAD=head, TILE=tile, SLOTS=slots, ATOMS=atoms, CAUSAL=causal, ACTIVATION=0, BFLOAT=bfloat)
        self.shared = (128 + 2 * slots * tile) * atoms * 128 + 8 + slots * 32

    def source(self):
        name = element(self.constants)
        scores = multiply("multiply_scores", self.constants["TILE"], name, "shared")
        return write("attention.cu", self.constants, scores + multiply("multiply_values", self.constants["HEAD"], name, "registers"))


class GroupNorm:
    """The same of a function of `group_norm.cu`."""

    threads = 512

    def __init__(self, entry, channels, activation=1, bfloat=0):
        self.entry = entry
        self.constants = dict(THREADS=512, AFFINE=1, ACTIVATION=activation, BFLOAT=bfloat)
        pairs = channels if entry == "normalise" else 512 // (channels // 8) * channels
        self.shared = pairs * 8

    def source(self):
        return write("group_norm.cu", self.constants)


class LayerNorm:
    """The same of `layer_norm.cu`."""

    entry, threads, shared = "layer_norm", 256, 0

    def __init__(self, channels, bfloat=0):
        self.constants = dict(VECTORS=(channels + 255) // 256, THREADS=256, AFFINE=1, ACTIVATION=0, BFLOAT=bfloat)

    def source(self):
        return write("layer_norm.cu", self.constants)


def load_nvrtc():
    places = ["libnvrtc.so.13", "libnvrtc.so.12", *sorted(glob.glob("/usr/local/cuda*/targets/*/lib/libnvrtc.so*"))]
    for place in places:
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise SystemExit("no libnvrtc: pip install nvidia-cuda-nvrtc, and have LD_LIBRARY_PATH lead to it")


def compile_source(source, nvrtc):
    """The binary for compute capability 9.0, and what the compiler says."""
    program, length = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = [b"--gpu-architecture=sm_90a", b"-lineinfo", b"--ptxas-options=-v"]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(length))
    log = ctypes.create_string_buffer(length.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if failed:
        raise SystemExit(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(length))
    binary = ctypes.create_string_buffer(length.value)
    nvrtc.nvrtcGetCUBIN(program, binary)
    return binary, log.value.decode()


def variants():
    for width in (32, 80, 128, 160, 256):
        yield Matmul(BN=width)
        yield Matmul(BN=width, SPLIT=1, CONVOLUTION=1, PAIR=1, ADD=1, RESIDUAL=1)
        if width < 256:
            yield Matmul(BN=width, ALTERNATE=1, ACTIVATION=1)
    yield Matmul(BN=256, GATED=1, ACTIVATION=2)
    yield Matmul(BN=32, VECTOR=0, CONVOLUTION=1, ADD=1, MUL=1, RESIDUAL=1)
    yield Matmul(BN=128, WIDE=1, BFLOAT=1)
    for head, tile, slots in ((40, 128, 2), (64, 128, 2), (80, 128, 2), (96, 128, 2), (128, 128, 2), (160, 64, 2), (64, 80, 1)):
        yield Attention(head, tile, slots)
    yield Attention(64, 80, 1, causal=1, bfloat=1)
    yield GroupNorm("moments", 320)
    yield LayerNorm(1280)


def main():
    nvrtc, spilling = load_nvrtc(), 0
    for variant in variants():
        _, log = compile_source(variant.source(), nvrtc)
        spills = [int(line.split(" bytes spill stores")[0].split()[-1]) for line in log.splitlines() if "spill stores" in line]
        serialised = "serialized" in log
        print(f"{variant.entry} {variant.constants}: {max(spills)} bytes spilled{', products are serialised' if serialised else ''}")
        # A few bytes of an epilogue do not show.
        spilling += max(spills) > 64 or serialised
    sys.exit(spilling)


if __name__ == "__main__":
    main()
