"""GGUF files in every element type, written by the `gguf` package, and what it reads from them as f32."""

import gguf
import numpy
import torch

from common import FIXTURES, randn, save_tensors

FOLDER = FIXTURES / "gguf"

# Types that the package can quantise itself.
QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
# Types of which it can only be asked what blocks mean; so their blocks are random.
SUPER_BLOCKS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
# Where in a block of these a 16-bit float lies, which must be finite.
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def random_blocks(name: str, rows: int) -> numpy.ndarray:
    """Rows of one block each, random but for the scales, which are small numbers."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    seed = sum(name.encode())
    blocks = numpy.random.default_rng(seed).integers(0, 256, (rows, size), dtype=numpy.uint8)
    for number, at in enumerate(HALVES[name]):
        scales = (randn(f"gguf/{name}/{number}", rows) * 0.1).half().numpy()
        blocks[:, at : at + 2] = scales.view(numpy.uint8).reshape(rows, 2)
    return blocks


def write_all(version: int) -> None:
    """One file with all types; of version 2 and 3, which differ in that number only."""
    writer = gguf.GGUFWriter(FOLDER / f"weights-v{version}.gguf", "sd1")
    writer.add_string("general.name", "tiny")
    writer.add_quantization_version(2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_bool("some.flag", True)
    writer.add_float32("some.number", 0.5)
    expected = {}

    def add(name: str, data: numpy.ndarray, kind: str) -> None:
        kind = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = torch.from_numpy(gguf.quants.dequantize(data, kind).astype(numpy.float32))

    plain = randn("gguf/plain", 2, 3, 5).numpy()
    add("plain.F32", plain, "F32")
    add("plain.F16", plain.astype(numpy.float16), "F16")
    add("plain.BF16", gguf.quants.quantize(plain, gguf.GGMLQuantizationType.BF16), "BF16")
    values = randn("gguf/values", 2, 3, 64).numpy()
    values[0, 0, :32] = 0
    for name in QUANTISED:
        add(f"quantised.{name}", gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]), name)
    for name in SUPER_BLOCKS:
        add(f"quantised.{name}", random_blocks(name, 3), name)
    # As ComfyUI-GGUF lays out what has no rows of whole blocks.
    name = "model.diffusion_model.input_blocks.0.0.weight"
    kernel = randn("gguf/kernel", 8, 4, 4, 4).numpy()
    writer.add_array(f"comfy.gguf.orig_shape.{name}", [8, 4, 4, 4])
    add(name, gguf.quants.quantize(kernel.reshape(-1, 256), gguf.GGMLQuantizationType.Q8_0), "Q8_0")
    expected[name] = expected[name].reshape(8, 4, 4, 4)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if version == 2:
        path = FOLDER / "weights-v2.gguf"
        data = bytearray(path.read_bytes())
        data[4:8] = (2).to_bytes(4, "little")
        path.write_bytes(data)
    save_tensors("gguf/weights.safetensors", expected)


def write() -> None:
    """Writes `tests/fixtures/gguf`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for version in (2, 3):
        write_all(version)


if __name__ == "__main__":
    write()
