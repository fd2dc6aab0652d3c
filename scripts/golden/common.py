"""What every generator shares: the output folder, random numbers, weights, writing of reference files."""

import json
import os
import zlib
from pathlib import Path

# Before anything can look for files on a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["DIFFUSERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"


def prepare_torch() -> None:
    """One thread and deterministic kernels, so that two runs write the same bytes."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)


def _generator(name: str) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(zlib.crc32(name.encode()))


def randn(name: str, *shape: int) -> torch.Tensor:
    """Unit normal numbers that depend on the name and the shape only."""
    return torch.randn(shape, generator=_generator(name))


def randomise(module: torch.nn.Module, seed: str, scales: dict[str, float] | None = None) -> torch.nn.Module:
    """Gives every parameter random values, also those that a fresh model holds at 0 or 1.

    Weights keep the variance of their input (std 1/sqrt(fan_in)), norm weights are about 1, biases about 0.
    `scales` multiplies the parameters whose name starts with a key: to bring an output to std 1.
    """
    norms = (torch.nn.GroupNorm, torch.nn.LayerNorm)
    for path, owner in module.named_modules():
        for leaf, parameter in owner.named_parameters(recurse=False):
            name = f"{path}.{leaf}" if path else leaf
            values = randn(f"{seed}/{name}", *parameter.shape)
            if leaf == "bias":
                values = 0.2 * values
            elif isinstance(owner, norms):
                values = 1 + 0.2 * values
            elif isinstance(owner, torch.nn.Embedding):
                values = 0.7 * values
            else:
                values = values / parameter[0].numel() ** 0.5
            for prefix, factor in (scales or {}).items():
                if name.startswith(prefix):
                    values = values * factor
            parameter.copy_(values)
    return module.eval()


def check_sane(name: str, tensor: torch.Tensor, low: float = 0.3, high: float = 4.0) -> None:
    """Outputs far from unit size would make an absolute tolerance meaningless."""
    std = tensor.float().std().item()
    if not (torch.isfinite(tensor.float()).all() and low <= std <= high):
        raise AssertionError(f"{name}: std {std}, expected {low} to {high}")


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative L2 distance, computed in f64."""
    value, reference = value.double(), reference.double()
    return ((value - reference).norm() / reference.norm()).item()


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes reference tensors under the fixture folder (no metadata: its order is not defined)."""
    path = FIXTURES / path
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path)


def save_json(path: str | Path, value: object, indent: int | None = 2) -> None:
    """Writes JSON under the fixture folder, with a final newline."""
    path = FIXTURES / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def edit_json(path: Path, change) -> None:
    """Rewrites a JSON file through `change(dict) -> dict`."""
    value = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def drop_private_paths(folder: Path) -> None:
    """Removes what names this machine (`_name_or_path` and the like) from every saved JSON file."""
    for path in sorted(folder.rglob("*.json")):
        text = path.read_text(encoding="utf-8")
        if "_name_or_path" in text or "name_or_path" in text:
            edit_json(path, lambda value: {k: v for k, v in value.items() if not k.endswith("name_or_path")})
        if str(FIXTURES) in path.read_text(encoding="utf-8"):
            raise AssertionError(f"{path} holds a path of this machine")


def summary(tensor: torch.Tensor) -> dict:
    """Shape and a few statistics, for the JSON beside a reference file."""
    values = tensor.float()
    return {
        "shape": list(tensor.shape),
        "mean": values.mean().item(),
        "std": values.std().item() if values.numel() > 1 else 0.0,
        "abs_max": values.abs().max().item(),
    }
