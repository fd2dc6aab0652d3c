"""Writes `tests/fixtures/README.md`: every file, and every reference tensor with its shape, from the files themselves."""

import json
import struct
from pathlib import Path

from common import FIXTURES

INTRODUCTION = """# Reference values

Written by `scripts/golden/generate.py` from torch, diffusers and transformers at the versions of
`scripts/golden/versions.py`; do not edit by hand. This list is made from the files.

All models are random everywhere (norms, biases and convolutions that start at zero too), in f32 on the CPU unless a
name says otherwise. Tensors are laid out as torch has them: images and latents `[batch, channels, height, width]`,
tokens `[batch, tokens, channels]`, convolution weights `[out, in, height, width]`, linear weights `[out, in]`.
A JSON file beside a reference file holds its scalars; `f32_error` is the relative L2 distance of the f32 reference
from the same computation in f64, so what part of a tolerance the reference itself uses up.

Names: `input.*` goes in, `output.*` has to come out, `level.*` are intermediate results (output of the module of
that name, for a block without its skips); `CASE/` in front if a file holds several cases.
"""

# Longest prefix wins.
NOTES = {
    "tiny-sd1": "Repository like SD 1.5: PNDM scheduler, `quick_gelu`, 1x1 convolutions around the transformers. The "
    "configurations of U-Net and VAE hold the few keys of SD 1.5's files only. `tokenizer.json` beside vocab and merges.",
    "tiny-sd1-fp16": "The U-Net of tiny-sd1 cast to f16, as variant `fp16`, in shards with an index.",
    "tiny-sd2": "Repository like SD 2.1-768: v-prediction DDIM, `gelu`, linear projections, heads as a list, "
    "`upcast_attention`. No `tokenizer.json`; the tokenizer files disagree about padding as the hub's do: the special "
    "tokens map says `!` (id 0) and wins. As `!` is then a special token, it is id 0 inside prompts too.",
    "layers": "Single layers and blocks. `CASE/weights/KEY` under diffusers' keys, `CASE/input`, `CASE/output`, further "
    "inputs by name (`temb`, `context`, `mask`, `condition`); numbers such as eps and groups in `layers.json`.",
    "training": "Gradients of the models of tiny-sd1 by autograd: `grad.PARAMETER` of `sum(output * direction)`, convolutions as "
    "`[out, kernel_h, kernel_w, in]`; of the VAE decoded from the mode of what it encoded. `adamw`: `values` and `norms` step by step, "
    "torch's defaults at a learning rate of 0.01 behind `clip_grad_norm_` at 5.",
    "unet_": "The U-Net of the tiny repository. `input.timestep` holds one value for the batch or one for each sample. "
    "`residuals*`: additions to every skip (in the order of the skips, `conv_in`'s first) and to the mid block's output. "
    "`fp16_weights`: the inputs of `plain`, computed in f32 from the weights of tiny-sd1-fp16.",
    "unets": "Small U-Nets of other kinds, each with configuration and weights. `time_ids`, `text_embeds`: "
    "`added_cond_kwargs`; `class_labels`, `timestep_cond` as in diffusers' forward.",
    "vae": "The VAE of tiny-sd1, both ways. `moments` is mean and log variance (clamped nowhere here), `sample` = mean + "
    "std x `input.noise`. No scaling factor is applied anywhere. `odd/`: a size that 8 does not divide.",
    "vae_tiled": "The VAE of tiny-sd1 decoding by tiles of 64 pixels (diffusers' `enable_tiling`).",
    "vaes": "Small autoencoders. `sd3`: 16 latent channels, no quant convolutions. `legacy-attention`: the same weights "
    "under the old attention names; its reference values are those of `vaes/sd3`. `no-mid-attention`: one level, none.",
    "text_": "The text encoder of the tiny repository on the JSON file's prompts (ids padded to 77). `hidden_states.0` is "
    "the embedding, the last one the last layer before the final norm. `clip_skip_1`: last but one state through the "
    "final norm. `pooled`: the final norm's output at the EOS place.",
    "texts": "Small text encoders. `with-projection`: CLIPTextModelWithProjection, keys as written (`text_model.` in "
    "front, `text_projection.weight`); `with-projection-bare`: same weights without `text_model.`, reference values as "
    "`with-projection`; `prefixed`: "
    "CLIPTextModel with `text_model.` in front and a stray `position_ids` (i64), as releases before 5 wrote it.",
    "pipeline_": "Run of a tiny repository; the request and the resolved scheduler are in the JSON file. "
    "`noise`: unit-variance draw (before `init_noise_sigma`), `latents` the same given by the caller; `step_noise.N`: "
    "draw N of the sampler; `prompt_embeds`, `negative_prompt_embeds`: one row for each image; `latents.N`: after "
    "evaluation N; `latents`: the final ones; `image_u8` `[batch, height, width, 3]` as in a PNG, `image` unrounded.",
    "tiny-sdxl": "Repository like SDXL base: two tokenizers and text encoders, `text_time`, the scale of SDXL's VAE; keys of other classes "
    "in the scheduler's file.",
    "tiny-sdxl-lcm": "A U-Net for the other parts of tiny-sdxl, with the guidance scale as an input (`time_cond_proj_dim`).",
    "tiny-sdxl-refiner": "Index, scheduler and U-Net like SDXL's refiner: the second encoder only, an aesthetic score. The other parts are "
    "those of tiny-sdxl.",
    "xl_": "Run of an SDXL repository; sizes in the JSON file are height before width, as diffusers has them. `picture`, `source`: bytes or "
    "latents that the run starts from; `prompt_embeds`, `pooled_prompt_embeds` and their negatives: one row for each image; `latents`: the "
    "final ones; `image_u8` `[batch, height, width, 3]`.",
    "tiny-sd2-depth": "Index, scheduler and U-Net (5 channels) like SD 2's depth model. The other parts are those of tiny-sd2.",
    "tiny-upscaler": "Like the x4 upscaler: a U-Net of 7 channels with noise levels, a VAE of factor 4, a second scheduler for the noise of the "
    "picture. Text encoder and tokenizer are those of tiny-sd2.",
    "kind_": "Run of tiny-sd1 from a picture, of tiny-sd2-depth or of tiny-upscaler. `picture`: bytes `[1, height, width, 3]`; `depth`: `[1, height, width]`, any size; "
    "`latents`: the final ones; `image_u8` `[batch, height, width, 3]`.",
    "clip-tokenizer": "CLIP's own vocabulary (49408 tokens), in the form of the hub's repositories; from OpenAI's "
    "`bpe_simple_vocab_16e6` (MIT licence).",
    "schedulers": "Trajectories of single samplers over a model that is a formula (`offset` in `model.safetensors`), of "
    "diffusers or, for what it lacks, of `k_samplers.py`, and draws of torch's CPU generator; how the numbers lie in the files is said on top of `scripts/golden/schedulers.py`.",
    "noise": "Draws of other generators than torch's on the CPU, explained on top of `scripts/golden/noise.py` and (what was "
    "drawn on a GPU) `scripts/golden/noise_cuda.py`.",
    "torch": "Files of `torch.save` and, in `weights.safetensors`, what they hold; `hostile/` would call functions when Python "
    "loads it (they print, no more). Explained on top of `scripts/golden/torch_files.py`.",
    "gguf": "GGUF files of version 2 and 3 and, in `weights.safetensors`, what the `gguf` package reads from them.",
    "single": "Whole models in one file under the names of LDM and SGM, and the names of full-size ones. Explained on top of "
    "`scripts/golden/single_files.py`.",
    "tokenizer_": "Reference ids of a tokenizer; the fields are explained in the file itself.",
}


def header(path: Path) -> dict[str, dict]:
    """The tensor table of a safetensors file."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        table = json.loads(file.read(length))
    return {name: entry for name, entry in table.items() if name != "__metadata__"}


def is_weights(path: Path) -> bool:
    """Whether a file holds a model rather than reference values."""
    return path.name.startswith(("diffusion_pytorch_model", "model.")) and (path.parent / "config.json").exists()


def note(name: str) -> str:
    """The explanation whose key fits a path best."""
    keys = [key for key in NOTES if name.startswith(key)]
    return NOTES[max(keys, key=len)] if keys else ""


def tensor_lines(path: Path) -> list[str]:
    """Markdown rows `name`, dtype, shape in the order of names."""
    return [f"- `{name}` {entry['dtype']} {entry['shape']}" for name, entry in sorted(header(path).items())]


def group_of(path: Path) -> str:
    """Files are listed by folder, at the top level by name without ending."""
    relative = path.relative_to(FIXTURES)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def section(group: str, paths: list[Path]) -> list[str]:
    """One part of the list."""
    lines = ["", f"## {group}", ""]
    if note(group):
        lines += [note(group), ""]
    for path in paths:
        relative = path.relative_to(FIXTURES)
        if path.suffix != ".safetensors":
            lines.append(f"`{relative}`")
        elif is_weights(path) or group == "single":
            dtypes = sorted({entry["dtype"] for entry in header(path).values()})
            lines.append(f"`{relative}`: weights, {len(header(path))} tensors, {', '.join(dtypes)}")
        else:
            lines += [f"`{relative}`:", "", *tensor_lines(path)]
        lines.append("")
    return lines[:-1]


def write() -> int:
    """Writes the list; returns the size of all files in bytes."""
    paths = sorted(path for path in FIXTURES.rglob("*") if path.is_file() and path.name not in ("README.md", ".gitattributes"))
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(group_of(path), []).append(path)
    lines = INTRODUCTION.splitlines()
    for group in sorted(groups):
        lines += section(group, groups[group])
    (FIXTURES / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for path in paths:
        # safetensors writes files for its owner only.
        path.chmod(0o644)
    return sum(path.stat().st_size for path in paths)
